"""Ranking metrics of one relevant item per list: the same functions serve the reward and the report.

A rank is 0-based; `ABSENT` stands for a target that the list does not hold.
"""

import numpy as np
from numpy.typing import ArrayLike, NDArray

ABSENT = np.iinfo(np.int32).max

Values = NDArray[np.float64]


def ndcg_at_k(ranks: ArrayLike, k: int) -> Values:
    """NDCG@k: 1 / log2(rank + 2) where rank < k, else 0; in [0, 1], the shape of `ranks`.

    Raises:
        ValueError: a rank is negative, or k is below 1.
    """
    checked = _checked(ranks, k)
    return np.where(checked < k, 1.0 / np.log2(checked + 2.0), 0.0)


def hit_rate_at_k(ranks: ArrayLike, k: int) -> Values:
    """HR@k: 1 where rank < k, else 0; the shape of `ranks`.

    Raises:
        ValueError: a rank is negative, or k is below 1.
    """
    return (_checked(ranks, k) < k).astype(np.float64)


def reciprocal_rank(ranks: ArrayLike) -> Values:
    """MRR per list: 1 / (rank + 1), and 0 where the target is absent; the shape of `ranks`.

    Raises:
        ValueError: a rank is negative.
    """
    checked = _checked(ranks, 1)
    return np.where(checked == ABSENT, 0.0, 1.0 / (checked + 1.0))


def rank_of(target: int, ranking: ArrayLike) -> int:
    """Return the 0-based rank of `target` in `ranking`, or `ABSENT`."""
    positions = np.flatnonzero(np.asarray(ranking) == target)
    return int(positions[0]) if len(positions) else ABSENT


METRICS = {
    "hr@1": lambda ranks: hit_rate_at_k(ranks, 1),
    "hr@5": lambda ranks: hit_rate_at_k(ranks, 5),
    "hr@10": lambda ranks: hit_rate_at_k(ranks, 10),
    "ndcg@5": lambda ranks: ndcg_at_k(ranks, 5),
    "ndcg@10": lambda ranks: ndcg_at_k(ranks, 10),
    "mrr": reciprocal_rank,
}
"""Name in every table and file -> function of the ranks (shape (N,) -> (N,))."""


def _checked(ranks: ArrayLike, k: int) -> NDArray[np.int64]:
    if k < 1:
        raise ValueError(f"k: found {k}; expected at least 1")
    array = np.asarray(ranks, dtype=np.int64)
    if array.size and array.min() < 0:
        raise ValueError(f"ranks: found {array.min()}; expected 0-based ranks, ABSENT where the target is missing")
    return array
