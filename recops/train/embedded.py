"""`base_policy`: a small model trained from scratch on synthetic episodes, or a pretrained one, pinned and checked.

The embedded policy has no knowledge of the world. It learns here the grammar of episodes, to copy an order that a tool
gave, and to merge several. Bare drills come first, then whole episodes; the first drills only copy: the attention
pattern that all else is built on forms there. Hidden matrices are trained with Muon (docs/experiments.md says why);
the loop is written out because only the assistant's tokens need logits.
Shapes: B episodes, L tokens, T supervised tokens, V vocabulary.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch
from torch import Tensor

from recops import interrupt
from recops.agent.prompts import tool_schemas
from recops.config.agent import AgentConfig
from recops.config.policy import BasePolicyConfig, EmbeddedPolicyConfig, PretrainedPolicyConfig
from recops.errors import InputError
from recops.progress import progress
from recops.records import Direction
from recops.seeds import sub_seed
from recops.stage_io import StageIO
from recops.tools.item_text import ItemText
from recops.tools.sanitize import Sanitizer
from recops.train.callbacks import write_curve
from recops.train.conversations import IGNORED, encode_conversations, padded
from recops.train.drills import drill_batch
from recops.train.models import build_model, build_tokenizer, num_trainable, save_policy
from recops.train.pretrained import import_pretrained
from recops.train.skill import Skill, measure_skill
from recops.train.synthetic import SyntheticEpisodes
from recops.train.tokenizer import render

_TOKENIZER_EPISODES = 2000
_CANDIDATES = 20
_HISTORY = 3
_WARMUP_STEPS = 30
_DECAY_FRACTION = 0.4
_COPY_FRACTION = 0.25
_PAIR_PROBABILITY = 0.2
_PAIR_DRILLS = 4
"""So many times more pair drills in a batch: one has a tenth of the tokens of a ranking drill."""
_FEWEST = 3
_VIEWS = (1, 2, 3, 3, 4)
_ADAM_FRACTION = 0.3
"""Learning rate of embeddings and norms, as a share of that of the hidden matrices."""
_MAX_GRADIENT_NORM = 1.0


@dataclass(frozen=True)
class BasePolicyReport:
    """Where the policy came from and, for the embedded one, what it can do; 0 where it was not trained here."""

    kind: str
    model: str
    revision: str
    parameters: int
    vocabulary: int
    steps: int
    loss_first: float
    loss_last: float
    skill: Skill


def run_base_policy(io: StageIO, config: BasePolicyConfig, *, seed: int, agent: AgentConfig) -> BasePolicyReport:
    """Write `base_policy`: train the embedded policy, or fetch, pin and check a pretrained one.

    Raises:
        InputError: a pretrained model lacks weights or a chat template, or a tool of the suite does not exist.
        FloatingPointError: the loss is not finite.
    """
    items = pl.read_parquet(io.input("raw_data") / "items.parquet")
    if config.kind == "pretrained":
        return _imported(io, config, agent)
    source = _source(items, agent)
    tools = tool_schemas(agent)
    tokenizer = _tokenizer(source, items, tools, config, seed=seed)
    model = build_model(config, tokenizer, sub_seed(seed, "weights"))
    lesson = Lesson(source, tokenizer, tools, config, seed)
    history = _train(io, model, lesson, config)
    skill = measure_skill(model, tokenizer, source, tools, candidates=_CANDIDATES, seed=seed)
    save_policy(model, tokenizer, io.out, max_new_tokens=agent.max_completion_tokens)
    write_curve(history, io.out)
    return BasePolicyReport(
        kind="embedded",
        model="",
        revision="",
        parameters=num_trainable(model),
        vocabulary=len(tokenizer),
        steps=num_steps(config),
        loss_first=float(history[0]["loss"]),
        loss_last=float(history[-1]["loss"]),
        skill=skill,
    )


def _source(items: pl.DataFrame, agent: AgentConfig) -> SyntheticEpisodes:
    if not len(items):
        raise InputError("items.parquet", found="no item", expected="at least one", next_step="Check raw_data.")
    return SyntheticEpisodes(ItemText(items, Sanitizer(agent.max_title_characters)), len(items), agent)


def _tokenizer(
    source: SyntheticEpisodes,
    items: pl.DataFrame,
    tools: Sequence[dict[str, Any]],
    config: EmbeddedPolicyConfig,
    *,
    seed: int,
) -> Any:
    """Train the tokenizer on episodes of every kind and on the catalogue's titles."""
    generator = np.random.default_rng(sub_seed(seed, "tokenizer"))
    directions: tuple[Direction, ...] = ("rank", "rank", "more", "less")
    episodes = [
        source.draw(
            generator,
            num_candidates=_CANDIDATES if direction == "rank" else 2,
            num_views=2,
            direction=direction,
            history=10,
        )
        for _ in range(_TOKENIZER_EPISODES // len(directions))
        for direction in directions
    ]
    return build_tokenizer(render(episodes, tools), items["title"].drop_nulls().to_list(), config.vocabulary_size)


class Lesson:
    """The batch of each step: a function of seed and step alone, so that a resumed training reads the same."""

    def __init__(
        self,
        source: SyntheticEpisodes,
        tokenizer: Any,
        tools: Sequence[dict[str, Any]],
        config: EmbeddedPolicyConfig,
        seed: int,
    ) -> None:
        self._source, self._tokenizer, self._tools = source, tokenizer, tools
        self._config, self._seed = config, seed

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return token ids and labels, int64 (B, L); all episodes of a batch have as many candidates."""
        generator = np.random.default_rng(sub_seed(self._seed, "lesson", step))
        if step < self._config.drill_steps:
            return self._drills(generator, step)
        pairs = generator.random() < _PAIR_PROBABILITY
        count = 2 if pairs else _num_candidates(generator)
        conversations = [
            self._source.draw(
                generator,
                num_candidates=count,
                num_views=int(generator.choice(_VIEWS)),
                direction=("more", "less")[int(generator.integers(2))] if pairs else "rank",
                history=_HISTORY,
            )
            for _ in range(self._config.batch_size)
        ]
        rows = encode_conversations(self._tokenizer, conversations, self._tools)
        ids_BL = padded([ids for ids, _ in rows], self._tokenizer.pad_token_id)
        return ids_BL, padded([labels for _, labels in rows], IGNORED)

    def _drills(self, generator: np.random.Generator, step: int) -> tuple[Tensor, Tensor]:
        copying = step < _COPY_FRACTION * self._config.drill_steps
        pairs = not copying and generator.random() < _PAIR_PROBABILITY
        return drill_batch(
            self._tokenizer,
            generator,
            batch_size=self._config.batch_size * (_PAIR_DRILLS if pairs else 1),
            num_candidates=2 if pairs else _num_candidates(generator),
            num_views=1 if copying else int(generator.choice(_VIEWS)),
        )


def _num_candidates(generator: np.random.Generator) -> int:
    """Return the full number half of the time, so that most is learned where most is asked, else fewer."""
    return _CANDIDATES if generator.random() < 0.5 else int(generator.integers(_FEWEST, _CANDIDATES + 1))


def supervised_loss(model: Any, ids_BL: Tensor, labels_BL: Tensor) -> Tensor:
    """Return the mean cross-entropy over the tokens with a label; other tokens get no logits at all.

    Padding stands at the right, where causal attention never looks from a real token: no mask is needed.
    """
    hidden_BLD = model.model(input_ids=ids_BL).last_hidden_state[:, :-1]
    targets_BL = labels_BL[:, 1:]
    supervised_BL = targets_BL != IGNORED
    logits_TV = model.lm_head(hidden_BLD[supervised_BL])
    return torch.nn.functional.cross_entropy(logits_TV, targets_BL[supervised_BL])


def num_steps(config: EmbeddedPolicyConfig) -> int:
    """Return the number of optimizer steps, drills and episodes together."""
    return config.drill_steps + config.episode_steps


def _train(io: StageIO, model: Any, lesson: Lesson, config: EmbeddedPolicyConfig) -> list[dict[str, float]]:
    """Train from the newest checkpoint on; return the loss of every step."""
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
    model.eval()
    return history


def _step(
    model: Any, optimizers: Sequence[torch.optim.Optimizer], batch: tuple[Tensor, Tensor], factor: float
) -> float:
    loss = supervised_loss(model, *batch)
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
        torch.optim.Muon(hidden, lr=learning_rate, weight_decay=0.01, adjust_lr_fn="match_rms_adamw"),
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


def _imported(io: StageIO, config: PretrainedPolicyConfig, agent: AgentConfig) -> BasePolicyReport:
    imported = import_pretrained(config, io.out, max_new_tokens=agent.max_completion_tokens)
    return BasePolicyReport(
        kind="pretrained",
        model=config.model,
        revision=imported.revision,
        parameters=imported.parameters,
        vocabulary=imported.vocabulary,
        steps=0,
        loss_first=0.0,
        loss_last=0.0,
        skill=Skill(0.0, 0.0, 0.0, 0.0),
    )
