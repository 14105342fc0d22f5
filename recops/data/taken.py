"""Which items a user had taken before a row, for millions of questions at once.

N interaction rows (sorted by user, time, order in the file), P different (user, item) pairs, I items from 1.
"""

import numpy as np
import polars as pl
from numpy.typing import NDArray

Rows = NDArray[np.int64]

_BITS_PER_KEY = 16
_GOLDEN = np.uint64(0x9E3779B97F4A7C15)  # 2**64 over the golden ratio, odd


class TakenItems:
    """The first row of every (user, item) pair: an item is in a history exactly if its first row lies before the end.

    Attributes:
        is_first: bool (N,), whether the user had not taken the row's item before.
    """

    def __init__(self, users_N: NDArray[np.int32], items_N: NDArray[np.int32], num_items: int) -> None:
        self._stride = num_items + 1
        keys_N = self._keys(users_N, items_N)
        self.is_first: NDArray[np.bool_] = pl.Series(keys_N).is_first_distinct().to_numpy()
        first_rows_P = np.flatnonzero(self.is_first)
        order_P = np.argsort(keys_N[first_rows_P])  # no two are equal: any sort will do
        self._first_rows_P = first_rows_P[order_P]
        self._keys_P = keys_N[self._first_rows_P]
        self._marks = _Marks(self._keys_P)
        self._num_first: Rows = np.append(0, np.cumsum(self.is_first, dtype=np.int64))  # (N + 1,)

    def holds(self, users: NDArray[np.int32], items: NDArray[np.int32], ends: Rows) -> NDArray[np.bool_]:
        """Return whether a user had taken an item before row `ends`; the arguments broadcast."""
        keys, ends = np.broadcast_arrays(self._keys(users, items), ends)
        found = self._marks.may_hold(keys)
        asked = np.nonzero(found)
        rare = keys[asked]
        places = np.minimum(np.searchsorted(self._keys_P, rare), len(self._keys_P) - 1)
        found[asked] = (self._keys_P[places] == rare) & (self._first_rows_P[places] < ends[asked])
        return found

    def num_different(self, starts: Rows, ends: Rows) -> Rows:
        """Return how many different items lie in rows `starts` to `ends` of one user, from the user's first row on."""
        counts: Rows = self._num_first[ends] - self._num_first[starts]
        return counts

    def _keys(self, users: NDArray[np.int32], items: NDArray[np.int32]) -> Rows:
        keys: Rows = users.astype(np.int64) * self._stride + items
        return keys


class _Marks:
    """Says of most keys that are absent, with one look, that they are: a Bloom filter of one hash.

    A draw is hardly ever an item of the history, and a look into a bit field costs a tenth of a binary search.
    """

    def __init__(self, keys_P: Rows) -> None:
        num_bits = max(8, int(len(keys_P) * _BITS_PER_KEY).bit_length())
        self._shift = np.uint64(64 - num_bits)
        marked = np.zeros(1 << num_bits, dtype=np.bool_)
        marked[self._places(keys_P)] = True
        self._bytes = np.packbits(marked, bitorder="little")

    def may_hold(self, keys: Rows) -> NDArray[np.bool_]:
        """Return False only for keys that are absent; the arrays have one shape."""
        places = self._places(keys)
        bits: NDArray[np.bool_] = (
            self._bytes[places >> np.uint64(3)] >> (places & np.uint64(7)).astype(np.uint8)
        ) & 1 == 1
        return bits

    def _places(self, keys: Rows) -> NDArray[np.uint64]:
        """The highest bits of a multiplication (Fibonacci hashing: Knuth, The Art of Computer Programming 3, 6.4)."""
        places: NDArray[np.uint64] = (keys.astype(np.uint64) * _GOLDEN) >> self._shift
        return places
