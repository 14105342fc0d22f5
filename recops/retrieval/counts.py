"""How often items were taken before a moment: one binary search per item over all events, none of them at the moment.

Where kinds of events weigh differently, what they weigh is added up in the place of their number.

Shape suffixes: E events, K asked items, C moments, J = I + 1 columns for all items with padding (column i is item i).
"""

import numpy as np
from numpy.typing import NDArray

Integers = NDArray[np.int64]
Weights = NDArray[np.float32]
Sums = NDArray[np.float64]

_DECIMALS = 6
"""Sums of weights are rounded to so many: equal events weigh the same, in whatever order they were added up."""


class EventCounts:
    """Events ordered by (item, time), under one integer key each, so that K items are searched in one call."""

    def __init__(self, items_E: NDArray[np.int32], timestamps_E: Integers) -> None:
        self._times, moments_E = np.unique(timestamps_E, return_inverse=True)
        self._keys = np.sort(items_E.astype(np.int64) * self._stride + moments_E)

    @property
    def _stride(self) -> int:
        return len(self._times) + 1

    def before(self, items_K: Integers, timestamp: int) -> Integers:
        """Return how many events of each item lie strictly before `timestamp`, shape (K,)."""
        starts_K, ends_K = self.span_before(items_K, timestamp)
        return ends_K - starts_K

    def span_before(self, items_K: Integers, timestamp: int) -> tuple[Integers, Integers]:
        """Return where each item's events before `timestamp` begin and end in the order of (item, time), (K,) each."""
        return np.searchsorted(self._keys, items_K * self._stride), self._up_to(items_K, timestamp)

    def within(self, items_K: Integers, start: int, end: int) -> Integers:
        """Return how many events of each item lie at or after `start` and strictly before `end`, shape (K,)."""
        starts_K, ends_K = self.span_within(items_K, start, end)
        return ends_K - starts_K

    def span_within(self, items_K: Integers, start: int, end: int) -> tuple[Integers, Integers]:
        """As `span_before`, of the events from `start` to strictly before `end`."""
        return self._up_to(items_K, start), self._up_to(items_K, end)

    def _up_to(self, items_K: Integers, timestamp: int) -> Integers:
        moment = np.searchsorted(self._times, timestamp)
        places: Integers = np.searchsorted(self._keys, items_K * self._stride + moment)
        return places


class MeanRatings:
    """Mean rating of an item before a moment; events without a rating do not count."""

    def __init__(self, counts: EventCounts, rows_E: NDArray[np.int32], ratings_E: NDArray[np.float32]) -> None:
        """Sum up the ratings.

        Args:
            counts: of the same events.
            rows_E: the events by (item, time), see `by_item`.
            ratings_E: NaN where there is none.
        """
        ordered_E = ratings_E[rows_E]
        rated_E = ~np.isnan(ordered_E)
        self._counts = counts
        self._sums = np.concatenate([[0.0], np.cumsum(np.where(rated_E, ordered_E, 0.0), dtype=np.float64)])
        self._rated = np.concatenate([[0], np.cumsum(rated_E, dtype=np.int32)])

    def before(self, items_K: Integers, timestamp: int) -> NDArray[np.float64]:
        """Return the mean of each item's ratings strictly before `timestamp`, shape (K,), NaN where there is none."""
        starts_K, ends_K = self._counts.span_before(items_K, timestamp)
        sums_K, rated_K = (one[ends_K] - one[starts_K] for one in (self._sums, self._rated))
        return np.where(rated_K > 0, sums_K / np.maximum(rated_K, 1), np.nan)


class EventWeights:
    """What the events of an item weigh together, where `EventCounts` says how many they are."""

    def __init__(self, counts: EventCounts, rows_E: NDArray[np.int32], weights_E: Weights) -> None:
        """Sum up the weights.

        Args:
            counts: of the same events.
            rows_E: the events by (item, time), see `by_item`.
            weights_E: above 0.
        """
        self._counts = counts
        self._sums = np.concatenate([[0.0], np.cumsum(weights_E[rows_E], dtype=np.float64)])

    def before(self, items_K: Integers, timestamp: int) -> Sums:
        """Return what the events of each item weigh that lie strictly before `timestamp`, shape (K,)."""
        return self._weight(*self._counts.span_before(items_K, timestamp))

    def within(self, items_K: Integers, start: int, end: int) -> Sums:
        """Return what the events of each item weigh from `start` to strictly before `end`, shape (K,)."""
        return self._weight(*self._counts.span_within(items_K, start, end))

    def _weight(self, starts_K: Integers, ends_K: Integers) -> Sums:
        sums_K: Sums = np.round(self._sums[ends_K] - self._sums[starts_K], _DECIMALS)
        return sums_K


def by_item(items_E: NDArray[np.int32], timestamps_E: Integers) -> NDArray[np.int32]:
    """Return the events in the order of (item, time, place), shape (E,): 4 bytes each."""
    return np.lexsort((timestamps_E, items_E)).astype(np.int32)


class CatalogueCounts:
    """Events ordered by time, for the number of every item's, or what they weigh, at many moments."""

    def __init__(
        self, items_E: NDArray[np.int32], timestamps_E: Integers, num_items: int, *, weights_E: Weights | None
    ) -> None:
        order = np.argsort(timestamps_E, kind="stable")
        self._items, self._times, self._num_columns = items_E[order], timestamps_E[order], num_items + 1
        self._weights = None if weights_E is None else weights_E[order]

    def before(self, timestamps_C: Integers) -> Sums:
        """Return how many events of each item lie strictly before each moment, or what they weigh, shape (C, J).

        Moments are visited in their order, so that each event is counted once, however many moments there are.
        """
        ends_C = np.searchsorted(self._times, timestamps_C)
        counts_CJ = np.empty((len(timestamps_C), self._num_columns))
        running_J, done = np.zeros(self._num_columns), 0
        for row in np.argsort(ends_C, kind="stable").tolist():
            end = int(ends_C[row])
            weights = None if self._weights is None else self._weights[done:end]
            running_J += np.bincount(self._items[done:end], weights, self._num_columns)
            counts_CJ[row], done = running_J, end
        return np.round(counts_CJ, _DECIMALS, out=counts_CJ)

    def within(self, starts_C: Integers, ends_C: Integers) -> Sums:
        """As `before`, of the events from each start to strictly before each end."""
        counts_CJ: Sums = np.round(self.before(ends_C) - self.before(starts_C), _DECIMALS)
        return counts_CJ
