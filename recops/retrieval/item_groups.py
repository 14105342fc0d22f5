"""Items that share a word of the catalogue, such as their store; the order in a group is fitted on `tool_fit`.

Shape suffixes: I items, J = I + 1 columns for the items with padding (column i is item i), K asked items.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

Items = NDArray[np.int64]


class ItemGroups:
    """The groups of one column of the catalogue; an item without a value is in none."""

    def __init__(self, values_I: pl.Series, popularity_J: Items) -> None:
        named = values_I.replace("", None).rank("dense").fill_null(0)
        self._code_J = np.concatenate([[0], named.to_numpy()]).astype(np.int32)
        taken = np.flatnonzero((popularity_J > 0) & (self._code_J > 0))
        order = np.lexsort((taken, -popularity_J[taken], self._code_J[taken]))
        self._members = taken[order].astype(np.int32)
        self._starts = np.searchsorted(self._code_J[self._members], np.arange(self._code_J.max() + 2))

    def same(self, item: int, items_K: Items) -> NDArray[np.bool_]:
        """Return which items are in the group of `item`, shape (K,)."""
        code = self._code_J[item]
        shared: NDArray[np.bool_] = (self._code_J[items_K] == code) & (code > 0)
        return shared

    def members(self, item: int, limit: int) -> Items:
        """Return up to `limit` items of the group of `item`, the one that `tool_fit` took most often first."""
        code = int(self._code_J[item])
        if code == 0:
            return np.empty(0, dtype=np.int64)
        start = int(self._starts[code])
        return self._members[start : min(start + limit, int(self._starts[code + 1]))].astype(np.int64)
