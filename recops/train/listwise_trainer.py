"""TRL's GRPOTrainer with the advantages of `recops.train.advantages`, and `kl` logged at every step.

Without a KL term in the loss, `kl` is measured on the first episode of each group: the starting policy has to read what
it is measured on, and episodes of a group are draws of the same thing.
Shapes: N episodes of a step, M of them measured, T tokens after the prompt.
"""

from functools import partial
from typing import Any

import torch
from torch import Tensor

from recops.config.policy import GrpoConfig
from recops.train.advantages import group_advantages
from recops.train.resumed_sampler import ResumedSampler
from recops.train.starting_policy import StartingPolicy, divergence


def trainer_class() -> Any:
    """Return the trainer's class; TRL takes ten seconds to import, so nothing here does before it is needed."""
    from trl.trainer.grpo_trainer import GRPOTrainer

    class ListwiseTrainer(GRPOTrainer):
        """GRPOTrainer with our advantages; it measures the distance from the start also where no loss needs it."""

        def __init__(self, *args: Any, rules: GrpoConfig, **kwargs: Any) -> None:
            super().__init__(*args, **kwargs)
            self._rules = rules
            self._start = StartingPolicy(self.model) if rules.beta == 0 else None
            self._divergence = torch.zeros(2, device=self.accelerator.device)
            self.rows: list[dict[str, Any]] = []

        def _get_train_sampler(self, dataset: Any = None) -> Any:
            return ResumedSampler(super()._get_train_sampler(dataset), partial(_epochs_trained, self))

        def _generate_and_score_completions(self, inputs: list[dict[str, Any]]) -> dict[str, Any]:
            self.rows = inputs
            output: dict[str, Any] = super()._generate_and_score_completions(inputs)
            advantages_N, kept_N = group_advantages(
                _rewards(self.reward_funcs[0]).to(output["advantages"].device),
                self._rules.group_size,
                rule=self._rules.advantage,
                drop_negative=self._rules.drop_negative_groups,
            )
            output["advantages"] = advantages_N
            mask_NT = _own_tokens(output) * kept_N[:, None]
            tokens: Any = self.accelerator.gather(mask_NT.sum())
            output["num_items_in_batch"] = tokens.sum()
            if self._start is None:
                # An advantage of 0 does not keep a dropped group's tokens out of the KL term.
                output["tool_mask"] = mask_NT
            else:
                _measure(self, self._start, output)
                self._divergence.zero_()
            return output

        def _get_per_token_logps_and_entropies(self, *args: Any, **kwargs: Any) -> Any:
            computed: Any = super()._get_per_token_logps_and_entropies(*args, **kwargs)
            self._logps = computed[0].detach()
            return computed

        def _compute_loss(self, model: Any, inputs: dict[str, Any]) -> Any:
            loss = super()._compute_loss(model, inputs)  # type: ignore[no-untyped-call]
            if self._start is not None:
                measured_NT = inputs["measured"]
                total = (divergence(self._logps, inputs["start_logps"]) * measured_NT).sum()
                # A pass may hold none of them: the mean is over the passes of the step together.
                sums: Any = self.accelerator.reduce(torch.stack([total, measured_NT.sum().float()]), reduction="sum")
                self._divergence += sums
                self._metrics["train"]["kl"] = [(self._divergence[0] / self._divergence[1].clamp(min=1.0)).item()]
            return loss

    return ListwiseTrainer


def _measure(trainer: Any, start: StartingPolicy, output: dict[str, Any]) -> None:
    """Add the starting policy's log-probabilities (N, T), and the mask of tokens that are measured (N, T)."""
    firsts = slice(None, None, trainer.num_generations)
    parts = ("prompt_ids", "completion_ids", "prompt_mask", "completion_mask")
    prompt_ids, ids_MT, prompt_mask, mask_MT = (output[name][firsts] for name in parts)
    with start.in_place():
        logps_MT = trainer._get_per_token_logps_and_entropies(
            trainer.model,
            torch.cat([prompt_ids, ids_MT], dim=1),
            torch.cat([prompt_mask, mask_MT], dim=1),
            ids_MT.size(1),
            batch_size=trainer.args.per_device_train_batch_size,
        )[0]
    own_NT = _own_tokens(output)
    output["start_logps"] = torch.zeros(own_NT.shape, device=logps_MT.device, dtype=logps_MT.dtype)
    output["start_logps"][firsts] = logps_MT
    output["measured"] = torch.zeros_like(own_NT)
    output["measured"][firsts] = own_NT[firsts]


def _epochs_trained(trainer: Any) -> int:
    return int(trainer.state.epoch or 0)


def _rewards(loop: Any) -> Tensor:
    """Return the rewards of the episodes that a loop has just played (N)."""
    return torch.tensor([episode.reward for episode in loop.episodes])


def _own_tokens(output: dict[str, Any]) -> Tensor:
    """Return which tokens the policy wrote itself (N, T): not those that tools answered, nor the padding."""
    mask_NT: Tensor = output["completion_mask"] * output.get("tool_mask", 1)
    return mask_NT
