"""Tables of a study from the files of its cells: values averaged per sample over training seeds, tested over users.

Shape suffixes: N samples, S training seeds, Y systems.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recops.artifacts import read_json
from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.statistics import bootstrap_intervals, holm, paired_differences
from recops.evaluate.wording import decimal, interval, p_value
from recops.metrics import METRICS
from recops.studies.cells import SAMPLES, Measured, read_cell, read_samples
from recops.studies.plan import Study

_BOOTSTRAP_SEED = 0
_FACTS = {"invalid_answers": "invalid", "calls_per_episode": "calls", "copies_one_tool": "copies one tool"}


@dataclass(frozen=True)
class Row:
    """One system of a recipe over the training seeds that are there.

    Attributes:
        values: NDCG@10 per seed and sample, shape (S, N).
        hr_at_1: mean over seeds and samples.
        facts: means over seeds.
    """

    name: str
    values: NDArray[np.float64]
    hr_at_1: float
    facts: dict[str, float]

    @property
    def of_seeds(self) -> NDArray[np.float64]:
        """Mean per seed, shape (S,)."""
        means: NDArray[np.float64] = self.values.mean(axis=1)
        return means


def study_page(study: Study, folder: Path) -> str:
    """Return the page of a study in Markdown: per recipe its systems, their differences, and what is missing."""
    parts = [f"# Study `{study.name}`", study.description, _how_to_read(study)]
    for recipe in study.recipes:
        parts += [f"## {recipe}", *_recipe_parts(study, recipe, folder)]
    return "\n\n".join(parts) + "\n"


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


def missing_cells(study: Study, recipe: str, folder: Path) -> list[str]:
    """Return the files of a recipe's cells that are not there."""
    return [cell.file.name for cell in study.cells(recipe) if not (folder / cell.file).is_file()]


def _how_to_read(study: Study) -> str:
    draws, share = f"{study.bootstrap_draws:,}", f"{study.confidence:.0%}"
    return (
        f"`recops study run {study.name}` measures what is missing, `recops study table {study.name}` writes this "
        f"page. Slice `{study.slice}`; NDCG@10 of the target among the frozen candidates, lists cut as an agent's, an "
        f"invalid answer counts as an absent target. Values are averaged per sample over training seeds, then "
        f"resampled over users ({draws} draws, {share} intervals); *seeds* are the means of the single seeds. p is "
        f"corrected for all pairs of a table (Holm)."
    )


def _recipe_parts(study: Study, recipe: str, folder: Path) -> list[str]:
    rows = read_rows(study, recipe, folder)
    if not rows:
        return ["Not measured yet."]
    users_N = read_samples(folder / recipe / SAMPLES)
    parts = [_commits(study, recipe, folder, len(users_N)), *_tables(study, rows, users_N)]
    for negatives in study.further_candidates:
        further = read_rows(study, recipe, folder, negatives)
        parts += [f"### The same samples with {negatives} negatives", *_tables(study, further, users_N)]
    missing = missing_cells(study, recipe, folder)
    return [*parts, f"Not measured yet: {', '.join(missing)}."] if missing else parts


def _tables(study: Study, rows: Sequence[Row], users_N: NDArray[np.int64]) -> list[str]:
    pairs = [pair for pair in study.pairs if {*pair} <= {row.name for row in rows}]
    return [_systems_table(study, rows, users_N), *([_pairs_table(study, rows, pairs, users_N)] if pairs else [])]


def _row(name: str, seeds: Sequence[Measured]) -> Row:
    score = METRICS[MAIN_METRIC]
    return Row(
        name,
        np.stack([score(one.ranks) for one in seeds]),
        float(np.mean([METRICS["hr@1"](one.ranks).mean() for one in seeds])),
        {
            key: float(np.mean([one.facts[key] for one in seeds]))
            for key in _FACTS
            if all(key in s.facts for s in seeds)
        },
    )


def _commits(study: Study, recipe: str, folder: Path, num_samples: int) -> str:
    files = [folder / cell.file for cell in study.cells(recipe) if (folder / cell.file).is_file()]
    cells = [read_json(file) for file in files]
    commits = sorted({cell["commit"][:7] for cell in cells})
    minutes = sum(cell["minutes"] for cell in cells)
    return f"{num_samples:,} samples; {len(cells)} cells, {minutes:.0f} minutes; commits {', '.join(commits)}."


def _systems_table(study: Study, rows: Sequence[Row], users_N: NDArray[np.int64]) -> str:
    means_NY = np.stack([row.values.mean(axis=0) for row in rows], axis=1)
    intervals = bootstrap_intervals(
        means_NY, users_N, draws=study.bootstrap_draws, confidence=study.confidence, seed=_BOOTSTRAP_SEED
    )
    head = ["system", "NDCG@10", "seeds", "HR@1", *_FACTS.values()]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for row, one in sorted(zip(rows, intervals, strict=True), key=lambda pair: -pair[1].mean):
        cells = [f"{decimal(one.mean)} {interval(one.low, one.high)}", " ".join(map(decimal, row.of_seeds))]
        cells += [decimal(row.hr_at_1), *(decimal(row.facts[key]) if key in row.facts else "" for key in _FACTS)]
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _pairs_table(
    study: Study, rows: Sequence[Row], pairs: Sequence[tuple[str, str]], users_N: NDArray[np.int64]
) -> str:
    means = {row.name: row.values.mean(axis=0) for row in rows}
    deltas_NP = np.stack([means[one] - means[other] for one, other in pairs], axis=1)
    found = paired_differences(
        deltas_NP, users_N, draws=study.bootstrap_draws, confidence=study.confidence, seed=_BOOTSTRAP_SEED
    )
    corrected = holm([one.p_value for one in found])
    lines = ["| difference | NDCG@10 | p (Holm) | |", "|---|---:|---:|---|"]
    for (one, other), difference, p in zip(pairs, found, corrected, strict=True):
        differs = p < 1 - study.confidence
        reading = "no difference shown" if not differs else "above" if difference.mean > 0 else "below"
        mean = f"{decimal(difference.mean)} {interval(difference.low, difference.high)}"
        lines.append(f"| {one} - {other} | {mean} | {p_value(p)} | {reading} |")
    return "\n".join(lines)
