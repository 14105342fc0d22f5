"""How fast a training goes, step by step: in MLflow only, for no artefact may depend on the clock."""

from time import perf_counter
from typing import Any

import torch
from transformers import TrainerCallback

from recops.ranks import num_workers
from recops.stage_io import StageIO
from recops.train.tool_loops import OwnLoop, TrlLoop

SPEED = "completion_tokens_per_second"
"""Tokens after the prompts of all episodes of a step, answers of tools included, over the seconds of the whole step:
playing, scoring, loss and update."""


class SpeedCallback(TrainerCallback):
    """Gives `SPEED` of every step to the tracker of a stage."""

    def __init__(self, io: StageIO, loop: OwnLoop | TrlLoop) -> None:
        self._io, self._loop = io, loop
        self._begun = 0.0

    def on_step_begin(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Start the clock; the episodes of the step have not been played yet."""
        self._begun = perf_counter()

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Record the speed; workers take a step together, so that their tokens are added up."""
        seconds = perf_counter() - self._begun
        tokens = torch.tensor(sum(one.num_completion_tokens for one in self._loop.episodes), device=args.device)
        if num_workers() > 1:
            torch.distributed.all_reduce(tokens)
        self._io.tracker.log_metrics({SPEED: int(tokens) / seconds}, step=state.global_step)
