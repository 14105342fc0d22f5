"""The training loop of the embedded policy: AdamW and Muon over lessons, with checkpoints.

It is written out because the Trainer knows one optimizer, and here hidden matrices and embeddings have one each.
"""

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from recops import interrupt
from recops.config.policy import EmbeddedPolicyConfig
from recops.progress import progress
from recops.stage_io import StageIO
from recops.train.callbacks import check_weights
from recops.train.conversations import supervised_losses
from recops.train.lesson import Lesson
from recops.train.muon import Muon

_WARMUP_STEPS = 30
_DECAY_FRACTION = 0.4
_ADAM_FRACTION = 0.3
"""Learning rate of embeddings and norms, as a share of that of the hidden matrices."""
_MAX_GRADIENT_NORM = 1.0


def num_steps(config: EmbeddedPolicyConfig) -> int:
    """Return the number of optimizer steps, drills and episodes together."""
    return config.drill_steps + config.episode_steps


def train_from_scratch(io: StageIO, model: Any, lesson: Lesson, config: EmbeddedPolicyConfig) -> list[dict[str, float]]:
    """Train from the newest checkpoint on; return the loss of every step.

    Raises:
        FloatingPointError: the loss is not finite, or the weights are not in the end.
    """
    optimizers = _optimizers(model, config.learning_rate)
    checkpoint, total = io.checkpoints / "base.pt", num_steps(config)
    history = _restored(checkpoint, model, optimizers)
    model.train()
    with progress("Training the embedded policy", total) as meter, interrupt.deferred():
        meter.advance(len(history))
        for step in range(len(history), total):
            loss = _step(model, optimizers, lesson.batch(step), learning_rate_factor(step, total))
            history.append({"step": step + 1, "loss": loss})
            io.tracker.log_metrics({"loss": loss}, step=step + 1)
            meter.advance(loss=loss)
            if interrupt.requested() or (step + 1) % config.checkpoint_steps == 0:
                _save(checkpoint, model, optimizers, history)
            interrupt.stop_if_requested()
    check_weights(model, total)
    model.eval()
    return history


def _step(
    model: Any, optimizers: Sequence[torch.optim.Optimizer], batch: tuple[Tensor, Tensor], factor: float
) -> float:
    loss = supervised_losses(model, *batch).mean()
    if not math.isfinite(loss.item()):
        raise FloatingPointError(f"base_policy: the loss is {loss.item()}; lower base_policy.learning_rate")
    loss.backward()  # type: ignore[no-untyped-call]
    torch.nn.utils.clip_grad_norm_(model.parameters(), _MAX_GRADIENT_NORM)
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["lr"] = group["initial_lr"] * factor
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)
    return loss.item()


def learning_rate_factor(step: int, steps: int) -> float:
    """Return the share of the full learning rate at a 0-based step: warm-up, plateau, linear decay."""
    warm = (step + 1) / _WARMUP_STEPS
    cool = (steps - step) / max(_DECAY_FRACTION * steps, 1.0)
    return min(1.0, warm, cool)


def _optimizers(model: Any, learning_rate: float) -> list[torch.optim.Optimizer]:
    """Return Muon for the hidden matrices, AdamW for embeddings and norms; each group remembers its full rate."""
    named = [(name, parameter) for name, parameter in model.named_parameters() if parameter.requires_grad]
    hidden = [parameter for name, parameter in named if parameter.dim() == 2 and "embed" not in name]
    other = [parameter for name, parameter in named if parameter.dim() != 2 or "embed" in name]
    optimizers: list[torch.optim.Optimizer] = [
        Muon(hidden, lr=learning_rate, weight_decay=0.01),
        torch.optim.AdamW(other, lr=_ADAM_FRACTION * learning_rate, betas=(0.9, 0.95), weight_decay=0.0),
    ]
    for optimizer in optimizers:
        for group in optimizer.param_groups:
            group["initial_lr"] = group["lr"]
    return optimizers


def _save(path: Path, model: Any, optimizers: Sequence[torch.optim.Optimizer], history: list[dict[str, float]]) -> None:
    """Write a checkpoint beside its place and rename it: a file there is always whole."""
    state = {"model": model.state_dict(), "optimizers": [one.state_dict() for one in optimizers], "history": history}
    partial = path.with_suffix(".partial")
    torch.save(state, partial)
    partial.rename(path)


def _restored(path: Path, model: Any, optimizers: Sequence[torch.optim.Optimizer]) -> list[dict[str, float]]:
    """Load the checkpoint if there is one; return the history of the steps that it holds."""
    if not path.is_file():
        return []
    state = torch.load(path, weights_only=True)
    model.load_state_dict(state["model"])
    for optimizer, content in zip(optimizers, state["optimizers"], strict=True):
        optimizer.load_state_dict(content)
    print(f"Resuming after step {len(state['history'])}.", flush=True)
    history: list[dict[str, float]] = state["history"]
    return history
