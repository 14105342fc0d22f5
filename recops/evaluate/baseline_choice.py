"""Every system against every other, so that a reader may choose the baseline. Shape suffixes: N samples, P pairs."""

from collections.abc import Mapping
from typing import TypedDict

import numpy as np
from numpy.typing import NDArray

from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.statistics import holm, paired_differences
from recops.metrics import METRICS


class Versus(TypedDict):
    """How far a system is above the chosen one in NDCG@10; `p_holm` is corrected for all systems of that choice."""

    mean: float
    low: float
    high: float
    p_value: float
    p_holm: float


def against_each(
    ranks: Mapping[str, NDArray[np.int64]], users_N: NDArray[np.int64], *, draws: int, confidence: float, seed: int
) -> dict[str, dict[str, Versus]]:
    """Return by chosen system, and by every other one, their paired difference; each choice is a family of tests.

    One resampling of users serves all pairs, so that twenty choices cost little more than one.

    Args:
        ranks: by system, the target's 0-based rank per sample, shape (N,); two systems or more.
        users_N: the user of each sample.
        draws: number of bootstrap resamples.
        confidence: coverage of the intervals.
        seed: equal seeds give equal tables.
    """
    score = METRICS[MAIN_METRIC]
    values = {name: score(ranks_N) for name, ranks_N in ranks.items()}
    pairs = [(chosen, other) for chosen in ranks for other in ranks if other != chosen]
    deltas_NP = np.stack([values[other] - values[chosen] for chosen, other in pairs], axis=1)
    found = dict(
        zip(
            pairs,
            paired_differences(deltas_NP, users_N, draws=draws, confidence=confidence, seed=seed),
            strict=True,
        )
    )
    tables = {}
    for chosen in ranks:
        family = {other: found[chosen, other] for other in ranks if other != chosen}
        corrected = holm([one.p_value for one in family.values()])
        tables[chosen] = {
            other: Versus(mean=one.mean, low=one.low, high=one.high, p_value=one.p_value, p_holm=p_holm)
            for (other, one), p_holm in zip(family.items(), corrected, strict=True)
        }
    return tables
