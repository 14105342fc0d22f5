"""From the target's ranks to a table of metrics with intervals: the same for baselines and for agents."""

from typing import TypedDict

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


def metric_table(ranks_N: ArrayLike, users_N: ArrayLike, *, draws: int, confidence: float, seed: int) -> MetricTable:
    """Return every metric of `recops.metrics.METRICS` with its interval, bootstrapped over users.

    Args:
        ranks_N: 0-based rank of the target per sample; `recops.metrics.ABSENT` where the answer does not hold it.
        users_N: the user of each sample.
        draws: number of bootstrap resamples.
        confidence: coverage of the intervals, in (0, 1).
        seed: equal seeds give equal tables; all metrics share the resamples.

    Raises:
        ValueError: there is no sample, a rank is negative, or shapes or settings do not fit.
    """
    values_NM = np.stack([metric(ranks_N) for metric in METRICS.values()], axis=-1)
    intervals = bootstrap_intervals(values_NM, users_N, draws=draws, confidence=confidence, seed=seed)
    return {
        name: MetricRow(mean=interval.mean, low=interval.low, high=interval.high)
        for name, interval in zip(METRICS, intervals, strict=True)
    }
