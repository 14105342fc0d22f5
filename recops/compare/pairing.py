"""Two runs on the samples that both have: paired differences by system, over all samples and by group.

Shape suffix: N common samples.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.compare.evaluation import Evaluation, same_candidates
from recops.errors import InputError
from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.segments import segments
from recops.evaluate.statistics import Difference, holm, paired_differences
from recops.metrics import METRICS
from recops.seeds import sub_seed

Ranks = dict[str, NDArray[np.int64]]


@dataclass(frozen=True)
class Pair:
    """The samples that the first run and another have in common, and both runs' ranks on them, (N,) by system."""

    facts: pl.DataFrame
    first: Ranks
    other: Ranks

    @property
    def systems(self) -> list[str]:
        """Systems of both runs that do not have the same rank on every sample."""
        both = [name for name in self.first if name in self.other]
        return [name for name in both if not np.array_equal(self.first[name], self.other[name])]


@dataclass(frozen=True)
class Change:
    """How far one system of another run is above the same system of the first, in NDCG@10 on the same samples.

    `p_holm` is corrected for all systems of all runs that were compared. `None` stands for equal ranks everywhere.
    """

    system: str
    difference: Difference | None
    p_holm: float


@dataclass(frozen=True)
class GroupChange:
    """The same for one group of samples: both means and their difference, its interval that of this group alone."""

    question: str
    group: str
    num_samples: int
    first: float
    other: float
    difference: Difference


def paired_runs(evaluations: Sequence[Evaluation]) -> list[Pair | None]:
    """Return for every run after the first the samples that it shares with the first; None where candidates differ.

    Raises:
        InputError: two runs with the same candidates disagree about a sample.
    """
    first = evaluations[0]
    return [_pair(first, other) if same_candidates(first, other) else None for other in evaluations[1:]]


def changes(first: Evaluation, pairs: Sequence[Pair | None]) -> list[dict[str, Change]]:
    """Return by run after the first, and by system, what changed; all of them are one family of tests."""
    found: list[dict[str, Difference]] = [_differences(first, pair) if pair else {} for pair in pairs]
    family = [(number, name) for number, one in enumerate(found) for name in one]
    corrected = dict(zip(family, holm([found[number][name].p_value for number, name in family]), strict=True))
    tables: list[dict[str, Change]] = []
    for number, pair in enumerate(pairs):
        both = [name for name in pair.first if name in pair.other] if pair else []
        tables.append(
            {name: Change(name, found[number].get(name), corrected.get((number, name), 1.0)) for name in both}
        )
    return tables


def group_changes(first: Evaluation, pair: Pair, system: str) -> list[GroupChange]:
    """Return for one system, by group of samples, both means and the difference."""
    score = METRICS[MAIN_METRIC]
    before_N, after_N, users_N = score(pair.first[system]), score(pair.other[system]), pair.facts["user"].to_numpy()
    rows = []
    for question, groups in segments(pair.facts).items():
        for name, mask_N in groups.items():
            delta_N1 = (after_N - before_N)[mask_N].reshape(-1, 1)
            [difference] = paired_differences(delta_N1, users_N[mask_N], **_drawn(first))
            means = float(before_N[mask_N].mean()), float(after_N[mask_N].mean())
            rows.append(GroupChange(question, name, int(mask_N.sum()), *means, difference))
    return rows


def _pair(first: Evaluation, other: Evaluation) -> Pair:
    """Align two runs by sample."""
    known = ["sample_id", "user", "target"]
    facts = first.facts.join(other.facts.select("sample_id"), on="sample_id", how="semi", maintain_order="left")
    theirs = facts.select("sample_id").join(other.facts.select(known), on="sample_id", maintain_order="left")
    if not len(facts) or not facts.select(known).equals(theirs.select(known)):
        found = f"{first.label} and {other.label} disagree about samples, or share none"
        step = "Run evaluation_reports of both again: equal candidates have equal samples."
        raise InputError(other.run.folder, found=found, expected="the same samples", next_step=step)
    return Pair(facts, _at(first, facts), _at(other, facts))


def _at(evaluation: Evaluation, facts: pl.DataFrame) -> Ranks:
    """Return a run's ranks on the samples of `facts`, in that order."""
    place = {sample_id: row for row, sample_id in enumerate(evaluation.facts["sample_id"].to_list())}
    rows = np.array([place[sample_id] for sample_id in facts["sample_id"].to_list()], dtype=np.int64)
    return {name: ranks_N[rows] for name, ranks_N in evaluation.ranks.items()}


def _differences(first: Evaluation, pair: Pair) -> dict[str, Difference]:
    score, systems = METRICS[MAIN_METRIC], pair.systems
    if not systems:
        return {}
    deltas = np.stack([score(pair.other[name]) - score(pair.first[name]) for name in systems], axis=1)
    return dict(zip(systems, paired_differences(deltas, pair.facts["user"].to_numpy(), **_drawn(first)), strict=True))


def _drawn(first: Evaluation) -> dict[str, Any]:
    """Intervals of a comparison are drawn as the first run's are."""
    config = first.settings["evaluation_reports"]
    return {
        "draws": config["bootstrap_draws"],
        "confidence": config["confidence"],
        "seed": sub_seed(first.settings["seed"], "bootstrap"),
    }
