"""What all trainers share: numbers to MLflow, checkpoints that can be trusted, an orderly stop on a signal."""

import math
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import polars as pl
import torch
from torch import nn
from transformers import TrainerCallback

from recops import interrupt
from recops.artifacts import verify, write_manifest
from recops.errors import InputError
from recops.progress import Meter
from recops.ranks import num_workers, rank
from recops.stage_io import StageIO

_LEFT_OUT = ("runtime", "per_second", "step_time", "profiling", "total_flos", "train_loss")
"""Parts of the names of logged values that depend on the clock, or sum up only what ran since the last resume."""


class StageCallback(TrainerCallback):
    """Connects a trainer to its stage: logged values, progress, a manifest per checkpoint, signals."""

    def __init__(self, io: StageIO, meter: Meter, shown: Sequence[str], prefix: str) -> None:
        self._io, self._meter, self._shown, self._prefix = io, meter, shown, prefix

    def on_log(
        self, args: Any, state: Any, control: Any, logs: Mapping[str, Any] | None = None, model: Any = None, **_: Any
    ) -> None:
        """Send the step's numbers to the tracker.

        Raises:
            FloatingPointError: the loss, the gradient or what the step made of the weights is not finite.
        """
        numbers = finite_numbers(logs or {})
        for name in ("loss", "grad_norm"):
            if logs and name in logs and not math.isfinite(float(logs[name])):
                raise FloatingPointError(f"step {state.global_step}: {name} is {logs[name]}; lower the learning rate")
        check_weights(model, state.global_step)
        named = {f"{self._prefix}{name}": value for name, value in numbers.items()}
        self._io.tracker.log_metrics(named, step=state.global_step)
        if "loss" in numbers:
            self._meter.advance(0, **{name: numbers[name] for name in self._shown if name in numbers})

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Count the step; after a signal, save and stop."""
        self._meter.advance()
        if _any_worker(interrupt.requested(), args.device):
            control.should_save = True
            control.should_training_stop = True

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """List the checkpoint's files: a checkpoint without manifest was cut short while it was written."""
        if num_workers() > 1:
            torch.distributed.barrier()  # every worker writes its random state
        if state.is_world_process_zero:
            write_manifest(Path(args.output_dir) / f"checkpoint-{state.global_step}", {"step": state.global_step})


@torch.no_grad()
def check_weights(model: nn.Module, step: int) -> None:
    """Check that a step left weights that can be used: of huge ones, norm layers make zeros, and the loss looks alive.

    Raises:
        FloatingPointError: their squares have no finite sum in their own format.
    """
    size = torch.nn.utils.get_total_norm([one for one in model.parameters() if one.requires_grad])
    if not size.isfinite():
        raise FloatingPointError(f"step {step}: the norm of the weights is {size}; lower the learning rate")


def _any_worker(asked: bool, device: torch.device) -> bool:
    """Whether one of the workers was asked to stop: they stop after the same step, or wait for each other for ever."""
    if num_workers() == 1:
        return asked
    flag = torch.tensor(int(asked), device=device)
    torch.distributed.all_reduce(flag, op=torch.distributed.ReduceOp.MAX)
    return bool(flag)


def record_arguments(checkpoint_steps: int) -> dict[str, Any]:
    """Return what every trainer is told about checkpoints and numbers: each step is logged, to `StageCallback` only."""
    return {
        "save_strategy": "steps",
        "save_steps": checkpoint_steps,
        "save_total_limit": 2,
        "logging_steps": 1,
        "logging_nan_inf_filter": False,
        "report_to": "none",
        "disable_tqdm": True,
    }


def connect(trainer: Any, io: StageIO, meter: Meter, shown: Sequence[str], prefix: str = "") -> None:
    """Let a trainer report to its stage, and to nothing else: its own lines would come every step.

    `prefix` tells the numbers of several trainings in one stage apart.

    Raises:
        RuntimeError: there are several workers, and the trainer knows nothing of the others.
    """
    from transformers import PrinterCallback

    if trainer.accelerator.num_processes != num_workers():
        known = trainer.accelerator.num_processes
        raise RuntimeError(f"the trainer shares its batches with {known} workers, and {num_workers()} were started")
    trainer.remove_callback(PrinterCallback)
    trainer.add_callback(StageCallback(io, meter, shown, prefix))


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that verifies; a later one that does not is moved aside as `damaged-...`."""
    numbered = [(int(path.name.rpartition("-")[2]), path) for path in folder.glob("checkpoint-*")]
    for _, path in sorted(numbered, reverse=True):
        try:
            verify(path)
            return path
        except InputError as error:
            print(f"Checkpoint set aside: {error.where}: found {error.found}.", flush=True)
            if rank() == 0:
                path.rename(path.with_name(f"damaged-{path.name}"))
    return None


def resume_path(folder: Path) -> str | None:
    """Return what a `Trainer` takes as `resume_from_checkpoint`."""
    path = newest_checkpoint(folder)
    if path is not None:
        print(f"Resuming from {path.name}.", flush=True)
    return None if path is None else str(path)


def finite_numbers(logs: Mapping[str, Any]) -> dict[str, float]:
    """Return the finite numbers of a log entry that do not depend on the clock, names free of `/` at their ends."""
    return {
        name.strip("/"): float(value)
        for name, value in logs.items()
        if isinstance(value, (int, float))
        and math.isfinite(value)
        and name not in ("epoch", "step")
        and not any(part in name for part in _LEFT_OUT)
    }


def write_curve(history: Sequence[Mapping[str, Any]], folder: Path) -> None:
    """Write `curve.parquet` (`step`, `name`, `value`) from a trainer's log history, which survives a resume."""
    rows = [
        (int(entry["step"]), name, value) for entry in history for name, value in sorted(finite_numbers(entry).items())
    ]
    frame = pl.DataFrame(rows, schema={"step": pl.Int32, "name": pl.String, "value": pl.Float64}, orient="row")
    frame.write_parquet(folder / "curve.parquet", statistics=False)


def mean_of(history: Sequence[Mapping[str, Any]], name: str, *, first: bool, entries: int = 5) -> float:
    """Return the mean of a value over the first or the last entries that hold it; 0 where none does."""
    values = [float(entry[name]) for entry in history if name in entry and math.isfinite(float(entry[name]))]
    part = values[:entries] if first else values[-entries:]
    return sum(part) / len(part) if part else 0.0
