"""Groups of samples that a person asks about: warm and cold targets, history length, popularity, planted kinds.

The bounds are fixed, not quantiles, so that the same words mean the same samples in two reports. Shape suffix: N
samples.
"""

from collections.abc import Callable, Mapping

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.statistics import bootstrap_intervals
from recops.metrics import METRICS

Mask = NDArray[np.bool_]

_HISTORY_ENDS = {"1 or 2": 2, "3 to 5": 5, "6 to 10": 10, "11 to 20": 20}
_TAKEN_ENDS = {"never": 0, "1 to 9": 9, "10 to 99": 99, "100 to 999": 999}


def segments(facts: pl.DataFrame) -> dict[str, dict[str, Mask]]:
    """Return by question and group which of N samples belong to it; what no sample belongs to is left out.

    Args:
        facts: a row per sample, as `recops.evaluate.sample_facts` has them.
    """
    warm_N = facts["warm"].to_numpy()
    groups: dict[str, dict[str, Mask]] = {
        "Target": {"warm": warm_N, "cold": ~warm_N},
        "Items in the history": _binned(facts["history_length"].to_numpy(), _HISTORY_ENDS, last="21 or more"),
        "Times the target was taken before": _binned(
            facts["times_taken"].to_numpy(), _TAKEN_ENDS, last="1,000 or more"
        ),
        "Planted kind of the user": {
            str(kind): (facts["kind"] == kind).fill_null(value=False).to_numpy()
            for kind in facts["kind"].drop_nulls().unique().sort()
        },
    }
    present = {question: {name: mask for name, mask in some.items() if mask.any()} for question, some in groups.items()}
    return {question: some for question, some in present.items() if some}


def segment_tables(
    facts: pl.DataFrame, ranks: Mapping[str, NDArray[np.int64]], *, draws: int, confidence: float, seed: int
) -> dict[str, dict[str, dict[str, object]]]:
    """Return by question and group `num_samples` and by system the mean NDCG@10 with its interval over users.

    Args:
        facts: a row per sample.
        ranks: by system, the target's 0-based rank per sample, shape (N,).
        draws: number of bootstrap resamples.
        confidence: coverage of the intervals.
        seed: equal seeds give equal tables.
    """
    score: Callable[[NDArray[np.int64]], NDArray[np.float64]] = METRICS[MAIN_METRIC]
    values_NS = np.stack([score(ranks_N) for ranks_N in ranks.values()], axis=1)
    users_N = facts["user"].to_numpy()

    def table(mask_N: Mask) -> dict[str, object]:
        found = bootstrap_intervals(values_NS[mask_N], users_N[mask_N], draws=draws, confidence=confidence, seed=seed)
        rows = {
            name: {"mean": one.mean, "low": one.low, "high": one.high} for name, one in zip(ranks, found, strict=True)
        }
        return {"num_samples": int(mask_N.sum()), "systems": rows}

    return {
        question: {name: table(mask_N) for name, mask_N in groups.items()}
        for question, groups in segments(facts).items()
    }


def _binned(values_N: NDArray[np.int32], ends: Mapping[str, int], *, last: str) -> dict[str, Mask]:
    """Return a group for each end, from above the end before it, and one for what is beyond."""
    places_N = np.searchsorted(list(ends.values()), values_N)
    return {name: places_N == place for place, name in enumerate([*ends, last])}
