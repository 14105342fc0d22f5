"""Systems of a study as its tables need them, read from the files of its cells.

Shape suffixes: N samples, S training seeds.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recops.evaluate.paired import MAIN_METRIC
from recops.metrics import METRICS
from recops.studies.cells import Measured, read_cell
from recops.studies.plan import Study

FACTS = {"invalid_answers": "invalid", "calls_per_episode": "calls", "copies_one_tool": "copies one tool"}
AT_5 = {"hr@5": "HR@5", "ndcg@5": "NDCG@5"}
"""What the papers' ablations tell beside HR@1, by name in `METRICS`."""


@dataclass(frozen=True)
class Row:
    """One system of a recipe over the training seeds that are there.

    Attributes:
        values: NDCG@10 per seed and sample, shape (S, N).
        hits: HR@1, the same.
        at_5: HR@5 and NDCG@5, means over seeds and samples.
        facts: means over seeds.
        minutes: of its cell, mean over seeds.
        commits: what made the cell of each seed.
    """

    name: str
    values: NDArray[np.float64]
    hits: NDArray[np.float64]
    at_5: dict[str, float]
    facts: dict[str, float]
    minutes: float
    commits: tuple[str, ...]

    @property
    def of_seeds(self) -> NDArray[np.float64]:
        """NDCG@10 per seed, shape (S,)."""
        means: NDArray[np.float64] = self.values.mean(axis=1)
        return means

    @property
    def hr_at_1(self) -> float:
        """Mean over seeds and samples."""
        return float(self.hits.mean())


def read_rows(study: Study, recipe: str, folder: Path, negatives: str | None = None) -> list[Row]:
    """Return the systems of a recipe that have at least one cell, in the order of the study.

    They rank the agents' own candidates (None), or those with other negatives.

    Raises:
        InputError: a file is damaged.
    """
    found: dict[str, list[Measured]] = {}
    for cell in study.cells(recipe):
        if (folder / cell.file).is_file():
            for name, measured in read_cell(folder / cell.file, negatives).items():
                found.setdefault(f"{cell.variant}/{name}", []).append(measured)
    return [_row(name, found[name]) for name in study.systems() if name in found]


def of_other_commits(one: Row, other: Row) -> str:
    """Return what to add to the difference of two rows that were not made by the same code; empty where they were.

    That a seed is still missing on one side makes no difference.
    """
    return "" if set(one.commits) == set(other.commits) else "; other commits"


def missing_cells(study: Study, recipe: str, folder: Path) -> str:
    """Return in words how many cells of a recipe are not measured yet, seed by seed; empty where all are."""
    cells = list(study.cells(recipe))
    missing = Counter(cell.training_seed for cell in cells if not (folder / cell.file).is_file())
    if not missing:
        return ""
    of_seeds = ", ".join(f"{count} of seed {seed}" for seed, count in sorted(missing.items()))
    return f"{missing.total()} of {len(cells)} cells are not measured yet: {of_seeds}."


def _row(name: str, seeds: Sequence[Measured]) -> Row:
    def stacked(metric: Callable[[NDArray[np.int64]], Any]) -> NDArray[np.float64]:
        return np.stack([metric(one.ranks) for one in seeds])

    shared = [key for key in FACTS if all(key in one.facts for one in seeds)]
    return Row(
        name,
        stacked(METRICS[MAIN_METRIC]),
        stacked(METRICS["hr@1"]),
        {metric: float(stacked(METRICS[metric]).mean()) for metric in AT_5},
        {key: float(np.mean([one.facts[key] for one in seeds])) for key in shared},
        float(np.mean([one.minutes for one in seeds])),
        tuple(one.commit for one in seeds),
    )
