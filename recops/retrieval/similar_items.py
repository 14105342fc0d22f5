"""Neighbours in the space of SASRec's item embeddings: a fitted thing.

By the cosine of what sets an item apart from the mean item: all embeddings share the direction of what is popular.
Shape suffixes: D width, J = I + 1 columns for the items with padding, K asked items.
"""

import numpy as np
from numpy.typing import NDArray

from recops.retrieval.index import ExactIndex, InvertedIndex, NeighbourIndex
from recops.retrieval.once import Once

Items = NDArray[np.int64]


class SimilarItems:
    """Cosines between items that `tool_fit` has seen; the index is built when neighbours are first asked for."""

    def __init__(
        self, embeddings_JD: NDArray[np.float32], known_J: NDArray[np.bool_], *, exact_search_max: int
    ) -> None:
        self._known_J, self._items = known_J, np.flatnonzero(known_J)
        self._embeddings_JD = embeddings_JD
        self._centre_D = embeddings_JD[self._items].mean(axis=0)
        self._exact_search_max = exact_search_max
        self._index = Once(self._build)

    def cosines(self, item: int, items_K: Items) -> NDArray[np.float64]:
        """Return the cosine of each item to `item`, shape (K,), in [-1, 1]; NaN where one of the two was never seen."""
        vectors_KD = self._embeddings_JD[items_K] - self._centre_D
        vector_D = self._embeddings_JD[item] - self._centre_D
        norms_K = np.linalg.norm(vectors_KD, axis=1) * np.linalg.norm(vector_D)
        cosines_K = (vectors_KD @ vector_D / np.maximum(norms_K, np.finfo(np.float32).tiny)).astype(np.float64)
        return np.where(self._known_J[items_K] & self._known_J[item], cosines_K, np.nan)

    def nearest(self, item: int, limit: int) -> Items:
        """Return the items with the greatest cosine to `item`, nearest first, without itself; none if it is unknown."""
        if not self._known_J[item]:
            return np.empty(0, dtype=np.int64)
        own_row = np.searchsorted(self._items, [item])
        query_1D = self._embeddings_JD[[item]] - self._centre_D
        rows_1K, cosines_1K = self._index().nearest(query_1D, limit, excluded_Q=own_row)
        near: Items = self._items[rows_1K[0][np.isfinite(cosines_1K[0])]]
        return near

    def _build(self) -> NeighbourIndex:
        vectors_ND = self._embeddings_JD[self._items] - self._centre_D
        return ExactIndex(vectors_ND) if len(vectors_ND) <= self._exact_search_max else InvertedIndex(vectors_ND)
