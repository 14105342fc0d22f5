"""Seeded orders: how ties and unknown candidates are ordered, without a generator and without looking at places."""

import numpy as np
from numpy.typing import NDArray

Bits = NDArray[np.uint64]

_GOLDEN = np.uint64(0x9E3779B97F4A7C15)


def tie_breaks(items: NDArray[np.int64], seeds: NDArray[np.int64]) -> Bits:
    """Return a random number per (item, seed), broadcast against each other: SplitMix64 (Steele, Lea, Flood 2014)."""
    mixed: Bits = items.astype(np.uint64) + seeds.astype(np.uint64) * _GOLDEN
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    mixed = mixed ^ (mixed >> np.uint64(31))
    return mixed


def ranks_by_score(scores_NK: NDArray[np.float64], ties_NK: Bits) -> NDArray[np.int64]:
    """Return the 0-based rank of each candidate, shape (N, K): best first, those without a score (NaN) last.

    Ties, and candidates without a score, stand in the order of `ties_NK`.
    """
    order_NK = np.lexsort((ties_NK, -np.nan_to_num(scores_NK), np.isnan(scores_NK)), axis=-1)
    ranks_NK = np.empty(order_NK.shape, dtype=np.int64)
    np.put_along_axis(ranks_NK, order_NK, np.broadcast_to(np.arange(order_NK.shape[1]), order_NK.shape), axis=1)
    return ranks_NK
