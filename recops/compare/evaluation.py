"""A finished evaluation as a comparison reads it. Shape suffix: N samples, in the order of `samples.parquet`."""

from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.artifacts import read_json
from recops.compare.runs import Run
from recops.errors import InputError
from recops.evaluate.sample_facts import ITEMS, SAMPLES


@dataclass(frozen=True)
class Evaluation:
    """One run's numbers.

    Attributes:
        run: where it lies and how it was made.
        metrics: content of `metrics.json`.
        facts: a row per test sample (see `recops.evaluate.sample_facts`).
        ranks: by system, the target's 0-based rank per sample, shape (N,).
    """

    run: Run
    metrics: dict[str, Any]
    facts: pl.DataFrame
    ranks: dict[str, NDArray[np.int64]]

    @property
    def label(self) -> str:
        """What the run is called in this comparison."""
        return self.run.label

    @property
    def settings(self) -> dict[str, Any]:
        """The recipe's section of this stage, and the seeds and sections that it shares."""
        return dict(self.run.manifest["settings"])

    @cached_property
    def agents(self) -> tuple[str, ...]:
        """Systems that played episodes, in the order of training."""
        return tuple(self.episodes["system"].unique(maintain_order=True))

    @cached_property
    def episodes(self) -> pl.DataFrame:
        """Every test episode, as `recops.evaluate.episode_table` writes them."""
        return pl.read_parquet(self.run.folder / "episodes.parquet")

    @cached_property
    def items(self) -> pl.DataFrame:
        """What a person is shown of the items."""
        return pl.read_parquet(self.run.folder / ITEMS)

    @cached_property
    def details(self) -> dict[str, Any]:
        """Content of `details.json`."""
        return dict(read_json(self.run.folder / "details.json"))


def read_evaluation(run: Run) -> Evaluation:
    """Return a verified run's numbers.

    Raises:
        InputError: it was made before evaluations held what a comparison needs.
    """
    if not (run.folder / SAMPLES).is_file():
        step = "Run the stage evaluation_reports again: an earlier version of recops made this one."
        raise InputError(run.folder, found=f"no {SAMPLES}", expected="an evaluation to compare", next_step=step)
    facts = pl.read_parquet(run.folder / SAMPLES)
    rankings = pl.read_parquet(run.folder / "rankings.parquet").filter(pl.col("slice") == "test")
    by_system = rankings.partition_by("system", maintain_order=True, as_dict=True)
    ranks = {
        str(system): facts.select("sample_id")
        .join(rows, on="sample_id", how="left", maintain_order="left")["rank"]
        .to_numpy()
        .astype(np.int64)
        for (system,), rows in by_system.items()
    }
    return Evaluation(run, read_json(run.folder / "metrics.json"), facts, ranks)


def same_candidates(one: Evaluation, other: Evaluation) -> bool:
    """Whether two runs ranked the same frozen candidates, so that a sample's number means the same sample in both."""
    return bool(one.metrics["candidates_sha256"] == other.metrics["candidates_sha256"])
