"""From the target's ranks to a table of metrics with intervals: the same for baselines and for agents."""

from collections.abc import Hashable, Mapping
from typing import TypedDict, TypeVar

import numpy as np
from numpy.typing import ArrayLike

from recops.evaluate.statistics import bootstrap_intervals
from recops.metrics import METRICS


class MetricRow(TypedDict):
    """One metric of one system as it stands in `metrics.json`."""

    mean: float
    low: float
    high: float


MetricTable = dict[str, MetricRow]
System = TypeVar("System", bound=Hashable)


def metric_tables(
    ranks: Mapping[System, ArrayLike], users_N: ArrayLike, *, draws: int, confidence: float, seed: int
) -> dict[System, MetricTable]:
    """Return by system every metric of `recops.metrics.METRICS` with its interval, bootstrapped over users.

    Args:
        ranks: by system, the 0-based rank of the target per sample, shape (N,); `recops.metrics.ABSENT` where the
            answer does not hold it.
        users_N: the user of each sample.
        draws: number of bootstrap resamples.
        confidence: coverage of the intervals, in (0, 1).
        seed: equal seeds give equal tables; all systems and metrics share the resamples, so that intervals side by side
            differ by the system only.

    Raises:
        ValueError: there is no sample, a rank is negative, or shapes or settings do not fit.
    """
    values_NM = np.stack([metric(ranks_N) for ranks_N in ranks.values() for metric in METRICS.values()], axis=-1)
    intervals = iter(bootstrap_intervals(values_NM, users_N, draws=draws, confidence=confidence, seed=seed))
    rows = {system: {name: next(intervals) for name in METRICS} for system in ranks}
    return {
        system: {name: MetricRow(mean=one.mean, low=one.low, high=one.high) for name, one in row.items()}
        for system, row in rows.items()
    }
