"""Exact nearest neighbours by cosine, in chunks of queries.

Shape suffixes: Q queries, N indexed vectors, D width, K neighbours.
"""

import numpy as np
from numpy.typing import NDArray

_QUERIES_PER_CHUNK = 512


def nearest(
    queries_QD: NDArray[np.float32], vectors_ND: NDArray[np.float32], k: int, *, excluded_Q: NDArray[np.int64]
) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
    """Return rows and cosines of the `min(k, N)` nearest vectors of each query, nearest first, ties by row.

    Args:
        queries_QD: finite vectors.
        vectors_ND: finite vectors.
        k: neighbours per query, at least 1.
        excluded_Q: a row that is no neighbour of the query (the query itself), or -1; its cosine is -inf.

    Returns:
        Two arrays of shape (Q, min(k, N)).
    """
    k = min(k, len(vectors_ND))
    rows_QK = np.empty((len(queries_QD), k), dtype=np.int64)
    cosines_QK = np.empty((len(queries_QD), k), dtype=np.float32)
    unit_ND = _normalised(vectors_ND)
    for start in range(0, len(queries_QD), _QUERIES_PER_CHUNK):
        chunk = slice(start, start + _QUERIES_PER_CHUNK)
        cosines_CN = _normalised(queries_QD[chunk]) @ unit_ND.T
        excluded = np.flatnonzero(excluded_Q[chunk] >= 0)
        cosines_CN[excluded, excluded_Q[chunk][excluded]] = -np.inf
        rows_QK[chunk] = _top(cosines_CN, k)
        cosines_QK[chunk] = np.take_along_axis(cosines_CN, rows_QK[chunk], axis=1)
    return rows_QK, cosines_QK


def _top(scores_CN: NDArray[np.float32], k: int) -> NDArray[np.int64]:
    """Columns of the k largest scores per row, largest first; of equal ones the lower column."""
    candidates = np.sort(np.argpartition(-scores_CN, k - 1, axis=1)[:, :k], axis=1)
    order = np.argsort(-np.take_along_axis(scores_CN, candidates, axis=1), axis=1, kind="stable")
    top: NDArray[np.int64] = np.take_along_axis(candidates, order, axis=1)
    return top


def _normalised(vectors: NDArray[np.float32]) -> NDArray[np.float32]:
    norms = np.linalg.norm(vectors, axis=1, keepdims=True)
    unit: NDArray[np.float32] = vectors / np.maximum(norms, np.finfo(np.float32).tiny)
    return unit
