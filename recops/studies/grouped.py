"""A table of a study in groups, as papers print ablations: every row beside its difference from one row of its group.

Shape suffixes: N samples, Y systems, P pairs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recops.evaluate.statistics import Difference, Interval, bootstrap_intervals
from recops.evaluate.wording import decimal, interval, p_value
from recops.studies.pairs import Pair, tested_pairs
from recops.studies.plan import Group, Study
from recops.studies.rows import AT_5, Row, of_other_commits

_HEAD = ("", "NDCG@10", "HR@1", *AT_5.values(), "difference in NDCG@10", "p (Holm)", "invalid", "calls", "minutes")


def grouped_table(study: Study, rows: Sequence[Row], users_N: NDArray[np.int64], *, seed: int) -> str:
    """Return the groups of a study as one table in Markdown; a row without a cell says so."""
    there = {row.name: row for row in rows}
    values = _intervals(study, [row.values for row in rows], users_N, seed)
    hits = _intervals(study, [row.hits for row in rows], users_N, seed)
    metrics = {row.name: (value, hit) for row, value, hit in zip(rows, values, hits, strict=True)}
    pairs = list(dict.fromkeys(pair for group in study.groups for pair in _pairs(group) if {*pair} <= set(there)))
    tested = tested_pairs(study, there, pairs, users_N, seed=seed)
    lines = [f"| {' | '.join(_HEAD)} |", f"|---|{'---:|' * (len(_HEAD) - 1)}"]
    for group in study.groups:
        lines.append(f"| **{group.title}** |{' |' * (len(_HEAD) - 1)}")
        for label, name in group.rows.items():
            cells = _cells(there, name, metrics[name], group.against, tested) if name in there else _NONE
            lines.append(f"| {label} | {' | '.join(cells)} |")
    return "\n".join(lines)


_NONE = ("not measured yet", *[""] * (len(_HEAD) - 2))


def _pairs(group: Group) -> list[Pair]:
    return [(name, group.against) for name in group.rows.values() if name != group.against]


def _intervals(
    study: Study, values: Sequence[NDArray[np.float64]], users_N: NDArray[np.int64], seed: int
) -> list[Interval]:
    means_NY = np.stack([one.mean(axis=0) for one in values], axis=1)
    settings = {"draws": study.bootstrap_draws, "seed": seed}
    return bootstrap_intervals(means_NY, users_N, confidence=study.confidence, **settings)


def _cells(
    there: Mapping[str, Row],
    name: str,
    metrics: tuple[Interval, Interval],
    against: str,
    tested: Mapping[Pair, tuple[Difference, float]],
) -> list[str]:
    row, cells = there[name], [f"{decimal(one.mean)} {interval(one.low, one.high)}" for one in metrics]
    cells += [decimal(row.at_5[metric]) for metric in AT_5]
    if (name, against) in tested:
        difference, p = tested[name, against]
        mean = f"{decimal(difference.mean)} {interval(difference.low, difference.high)}"
        cells += [mean, p_value(p) + of_other_commits(row, there[against])]
    else:
        cells += ["", ""]
    facts: Mapping[str, float] = row.facts
    cells += [decimal(facts[key]) if key in facts else "" for key in ("invalid_answers", "calls_per_episode")]
    return [*cells, f"{row.minutes:.1f}"]
