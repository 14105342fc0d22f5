"""Which items users took soon before or after an item: the edges "taken together" of the item relation graph.

They are events, not a fitted table: counted when asked for, strictly before a moment. Shape suffixes: N interaction
rows, T rows in which the item was taken, W places around a row, R related items.
"""

import numpy as np
from numpy.typing import NDArray

from recops.data.samples import SampleStore

MAX_TAKERS = 256
"""Of an item that more users took, the latest so many are looked at: a bound on the time of a call."""

_REACH = 3
"""Places before and after an item in its user's order; one at distance d counts 1 / d."""

Items = NDArray[np.int64]


class TakenTogether:
    """Edges over the interactions of a store, which are shared and not copied.

    `rows` are the store's rows by (item, time).
    """

    def __init__(self, store: SampleStore, rows: NDArray[np.int32]) -> None:
        self._user, self._item, self._time = store.user, store.item, store.timestamp
        self._rows = rows
        self._starts = np.concatenate([[0], np.cumsum(np.bincount(store.item, minlength=store.num_items + 1))])
        self._steps_W = np.array([step for step in range(-_REACH, _REACH + 1) if step])

    def before(self, item: int, timestamp: int) -> tuple[Items, NDArray[np.float64]]:
        """Return the items (R,) that were taken near `item`, both strictly before `timestamp`, and their weights (R,).

        The heaviest comes first, of equal ones the lower number; `item` itself is not among them.
        """
        rows_T1 = self._takers(item, timestamp)[:, None].astype(np.int64)
        near_TW = rows_T1 + self._steps_W
        inside_TW = np.clip(near_TW, 0, len(self._item) - 1)
        valid_TW = (near_TW == inside_TW) & (self._user[inside_TW] == self._user[rows_T1])
        valid_TW &= (self._time[inside_TW] < timestamp) & (self._item[inside_TW] != item)
        found, owner = np.unique(self._item[inside_TW[valid_TW]], return_inverse=True)
        nearness_TW = np.broadcast_to(1.0 / np.abs(self._steps_W), near_TW.shape)
        weights = np.asarray(np.bincount(owner, nearness_TW[valid_TW], len(found)), dtype=np.float64)
        order = np.lexsort((found, -weights))
        return found[order].astype(np.int64), weights[order]

    def _takers(self, item: int, timestamp: int) -> NDArray[np.int32]:
        """The latest rows in which the item was taken before the moment."""
        rows = self._rows[self._starts[item] : self._starts[item + 1]]
        end = int(np.searchsorted(self._time[rows], timestamp))
        return rows[max(end - MAX_TAKERS, 0) : end]
