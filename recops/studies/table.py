"""The tables of a study in Markdown, from its cells: averaged per sample over training seeds, tested over users.

Shape suffixes: N samples, Y systems.
"""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recops.artifacts import read_json
from recops.evaluate.statistics import bootstrap_intervals
from recops.evaluate.wording import decimal, interval, p_value
from recops.studies.cells import SAMPLES, read_samples
from recops.studies.grouped import grouped_table
from recops.studies.pairs import Pair, tested_pairs
from recops.studies.plan import Study
from recops.studies.rows import FACTS, Row, missing_cells, of_other_commits, read_rows

BOOTSTRAP_SEED = 0


def study_tables(study: Study, folder: Path) -> str:
    """Return the section of a study in Markdown: per recipe its systems, their differences, and what is missing.

    Raises:
        InputError: a file is damaged.
    """
    parts = [f"## Study `{study.name}`", study.description, _how_to_read(study)]
    for recipe in study.recipes:
        parts += [f"### {study.name}: {recipe}", *_recipe_parts(study, recipe, folder)]
    return "\n\n".join(parts)


def _how_to_read(study: Study) -> str:
    draws, share = f"{study.bootstrap_draws:,}", f"{study.confidence:.0%}"
    columns = (
        "*minutes* is what the cell took: what was trained before, for another cell or for the recipe, took none. p "
        "is corrected for all differences of a recipe (Holm)."
        if study.groups
        else "*seeds* are the means of the single seeds. p is corrected for all pairs of a table (Holm)."
    )
    return (
        f"`make results STUDY={study.name}` measures what is missing and writes this part of the page (without "
        f"measuring: `recops study table {study.name}`). Slice `{study.slice}`; NDCG@10 of the target among the frozen "
        f"candidates, lists cut as an agent's, an invalid answer counts as an absent target. Values are averaged per "
        f"sample over training seeds, then resampled over users ({draws} draws, {share} intervals). {columns} "
        "*Other commits*: the two rows were not made by the same."
    )


def _recipe_parts(study: Study, recipe: str, folder: Path) -> list[str]:
    rows = read_rows(study, recipe, folder)
    if not rows:
        return ["Not measured yet."]
    users_N = read_samples(folder / recipe / SAMPLES)
    parts = [_commits(study, recipe, folder, len(users_N)), *_tables(study, rows, users_N)]
    for negatives in study.further_candidates:
        further = read_rows(study, recipe, folder, negatives)
        parts += [f"#### The same samples with {negatives} negatives", *_tables(study, further, users_N)]
    missing = missing_cells(study, recipe, folder)
    return [*parts, missing] if missing else parts


def _tables(study: Study, rows: Sequence[Row], users_N: NDArray[np.int64]) -> list[str]:
    if study.groups:
        return [grouped_table(study, rows, users_N, seed=BOOTSTRAP_SEED)]
    pairs = [pair for pair in study.pairs if {*pair} <= {row.name for row in rows}]
    return [_systems_table(study, rows, users_N), *([_pairs_table(study, rows, pairs, users_N)] if pairs else [])]


def _commits(study: Study, recipe: str, folder: Path, num_samples: int) -> str:
    files = [(cell.training_seed, folder / cell.file) for cell in study.cells(recipe)]
    cells = [(seed, read_json(file)) for seed, file in files if file.is_file()]
    commits = sorted({cell["commit"][:7] for _, cell in cells})
    minutes = sum(cell["minutes"] for _, cell in cells)
    seeds = ", ".join(str(seed) for seed in sorted({seed for seed, _ in cells}))
    return (
        f"{num_samples:,} samples; training seeds {seeds}; {len(cells)} cells, {minutes:.0f} minutes; "
        f"commits {', '.join(commits)}."
    )


def _systems_table(study: Study, rows: Sequence[Row], users_N: NDArray[np.int64]) -> str:
    means_NY = np.stack([row.values.mean(axis=0) for row in rows], axis=1)
    intervals = bootstrap_intervals(
        means_NY, users_N, draws=study.bootstrap_draws, confidence=study.confidence, seed=BOOTSTRAP_SEED
    )
    head = ["system", "NDCG@10", "seeds", "HR@1", *FACTS.values()]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for row, one in sorted(zip(rows, intervals, strict=True), key=lambda pair: -pair[1].mean):
        cells = [f"{decimal(one.mean)} {interval(one.low, one.high)}", " ".join(map(decimal, row.of_seeds))]
        cells += [decimal(row.hr_at_1), *(decimal(row.facts[key]) if key in row.facts else "" for key in FACTS)]
        lines.append(f"| {row.name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _pairs_table(study: Study, rows: Sequence[Row], pairs: Sequence[Pair], users_N: NDArray[np.int64]) -> str:
    there = {row.name: row for row in rows}
    tested = tested_pairs(study, there, pairs, users_N, seed=BOOTSTRAP_SEED)
    lines = ["| difference | NDCG@10 | p (Holm) | |", "|---|---:|---:|---|"]
    for (one, other), (difference, p) in tested.items():
        differs = p < 1 - study.confidence
        reading = "no difference shown" if not differs else "above" if difference.mean > 0 else "below"
        reading += of_other_commits(there[one], there[other])
        mean = f"{decimal(difference.mean)} {interval(difference.low, difference.high)}"
        lines.append(f"| {one} - {other} | {mean} | {p_value(p)} | {reading} |")
    return "\n".join(lines)
