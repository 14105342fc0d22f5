"""Seeded orders: how ties and unknown candidates are ordered, without a generator and without looking at places."""

import numpy as np
from numpy.typing import NDArray

from recops.data.random_bits import STEP, Bits, mix64


def tie_breaks(items: NDArray[np.int64], seeds: NDArray[np.int64]) -> Bits:
    """Return a random number per (item, seed), broadcast against each other."""
    return mix64(items.astype(np.uint64) + seeds.astype(np.uint64) * STEP)


def ranks_by_score(scores_NK: NDArray[np.float64], ties_NK: Bits) -> NDArray[np.int64]:
    """Return the 0-based rank of each candidate, shape (N, K): best first, those without a score (NaN) last.

    Ties, and candidates without a score, stand in the order of `ties_NK`.
    """
    order_NK = np.lexsort((ties_NK, -np.nan_to_num(scores_NK), np.isnan(scores_NK)), axis=-1)
    ranks_NK = np.empty(order_NK.shape, dtype=np.int64)
    np.put_along_axis(ranks_NK, order_NK, np.broadcast_to(np.arange(order_NK.shape[1]), order_NK.shape), axis=1)
    return ranks_NK
