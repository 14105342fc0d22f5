"""What tests of training share: a tracker and inputs without a pipeline, small settings, weights as one vector."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from recops.config.policy import GrpoConfig, LoraConfig, SftConfig
from recops.paths import Layout
from recops.traces import Trace

LORA = LoraConfig(rank=2, alpha=4, dropout=0.0, target_modules="all-linear")
RANDOM_LORA = LORA.model_copy(update={"dropout": 0.1})
"""Draws random numbers in every pass, which a checkpoint must not lose."""

SFT = SftConfig(steps=4, batch_size=4, learning_rate=0.005, checkpoint_steps=2, lora=None)
GRPO = GrpoConfig(
    steps=2,
    samples_per_step=4,
    group_size=4,
    learning_rate=0.005,
    temperature=1.0,
    advantage="mean",
    drop_negative_groups=False,
    beta=0.0,
    tool_loop="trl",
    constrain_answers=False,
    checkpoint_steps=1,
    lora=None,
)


class StubIO:
    """Stands in for `StageIO`: the doors to MLflow and to verified artefacts."""

    def __init__(self, root: Path, stage: Any, inputs: dict[str, Path] | None = None) -> None:
        self.stage, self.out, self.checkpoints = stage, root / "out", root / "checkpoints"
        self.layout = Layout(root, "small")
        self.out.mkdir(parents=True)
        self.checkpoints.mkdir(parents=True, exist_ok=True)
        self.tracker: Any = self
        self.logged: list[tuple[int | None, dict[str, float]]] = []
        self.traces: list[Trace] = []
        self.tables: dict[str, list[Mapping[str, Any]]] = {}
        self._inputs = inputs or {}

    def input(self, upstream: str) -> Path:
        return self._inputs[upstream]

    def log_metrics(self, metrics: dict[str, float], *, step: int | None) -> None:
        self.logged.append((step, dict(metrics)))

    def log_traces(self, traces: Sequence[Trace]) -> None:
        self.traces += traces

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        self.tables.setdefault(name, []).extend(rows)


def weights(model: nn.Module) -> Tensor:
    return torch.cat([parameter.detach().flatten() for _, parameter in sorted(model.named_parameters())])


def files(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}
