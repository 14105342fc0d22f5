"""Which items a user had taken before a row, for millions of questions at once.

N interaction rows (sorted by user, time, order in the file), P different (user, item) pairs, I items from 1.
"""

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]


class TakenItems:
    """The first row of every (user, item) pair: an item is in a history exactly if its first row lies before the end.

    Attributes:
        is_first: bool (N,), whether the user had not taken the row's item before.
    """

    def __init__(self, users_N: NDArray[np.int32], items_N: NDArray[np.int32], num_items: int) -> None:
        self._stride = num_items + 1
        keys_N = self._keys(users_N, items_N)
        self._keys_P, self._first_rows_P = np.unique(keys_N, return_index=True)
        self.is_first: NDArray[np.bool_] = np.zeros(len(keys_N), dtype=np.bool_)
        self.is_first[self._first_rows_P] = True
        self._num_first: Rows = np.append(0, np.cumsum(self.is_first, dtype=np.int64))  # (N + 1,)

    def holds(self, users: NDArray[np.int32], items: NDArray[np.int32], ends: Rows) -> NDArray[np.bool_]:
        """Return whether a user had taken an item before row `ends`; the arguments broadcast."""
        keys = self._keys(users, items)
        places = np.minimum(np.searchsorted(self._keys_P, keys), len(self._keys_P) - 1)
        found: NDArray[np.bool_] = (self._keys_P[places] == keys) & (self._first_rows_P[places] < ends)
        return found

    def num_different(self, starts: Rows, ends: Rows) -> Rows:
        """Return how many different items lie in rows `starts` to `ends` of one user, from the user's first row on."""
        counts: Rows = self._num_first[ends] - self._num_first[starts]
        return counts

    def _keys(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> Rows:
        keys: Rows = users.astype(np.int64) * self._stride + items
        return keys
