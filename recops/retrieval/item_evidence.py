"""What is known about items apart from a user: likeness, relations, words. Each part is built on its first use.

Fitted parts (likeness, the order in a store or category, statistics of words) come from `tool_fit`; who took what
together is counted strictly before a moment. An item that nobody took before the moment was not there for anybody to
see, so it is never *found*; of items that are *asked* about, such as candidates, everything is told.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recops.data.samples import SLICE_CODES, SampleStore
from recops.retrieval.counts import EventCounts
from recops.retrieval.item_groups import ItemGroups
from recops.retrieval.once import Once
from recops.retrieval.relations import TakenTogether
from recops.retrieval.search import SearchIndex
from recops.retrieval.similar_items import SimilarItems

Shared = Literal["store", "category"]
Items = NDArray[np.int64]
Scores = NDArray[np.float64]

_LOOKED_AT = 64
"""So many are looked at first when a few are wanted: some are candidates, in the history, or not there yet."""
_GROWTH = 8


@dataclass(frozen=True, slots=True)
class Moment:
    """When something is asked, and the items that are not to be found because they are known already."""

    timestamp: int
    left_out: frozenset[int]


class ItemEvidence:
    """Answers about items of a store; scores are arrays of the shape of the asked items, NaN where nothing is known."""

    def __init__(
        self,
        store: SampleStore,
        embeddings_JD: NDArray[np.float32],
        known_J: NDArray[np.bool_],
        counts: EventCounts,
        rows: Once[NDArray[np.int32]],
        *,
        exact_search_max: int,
    ) -> None:
        """Open the parts.

        Args:
            store: the data.
            embeddings_JD: SASRec's, of every item.
            known_J: which items `tool_fit` has.
            counts: of the store's interactions.
            rows: the store's rows by (item, time), see `counts.by_item`.
            exact_search_max: neighbours of up to so many items are found without an index.
        """
        self._store, self._known_J, self._counts = store, known_J, counts
        self._similar = SimilarItems(embeddings_JD, known_J, exact_search_max=exact_search_max)
        self._together = Once(lambda: TakenTogether(store, rows()))
        self._search = Once(lambda: SearchIndex(store.items, known_J))
        self._groups: dict[Shared, Once[ItemGroups]] = {
            "store": Once(lambda: self._grouped("store")),
            "category": Once(lambda: self._grouped("category")),
        }

    def similarity(self, item: int, items: Sequence[int]) -> Scores:
        """Cosine of SASRec's embeddings; NaN where an item was never seen in `tool_fit`."""
        return self._similar.cosines(item, np.asarray(items, dtype=np.int64))

    def similar(self, item: int, moment: Moment, limit: int) -> list[int]:
        """Return other items near `item` in embedding space, nearest first; none if it was never seen."""
        return self._found(self._similar.nearest(item, limit + len(moment.left_out) + _LOOKED_AT), moment, limit)

    def taken_together(self, item: int, timestamp: int) -> tuple[Items, Scores]:
        """Return items that users took soon before or after `item`, before `timestamp`, most often first; weights."""
        return self._together().before(item, timestamp)

    def share(self, shared: Shared, item: int, items: Sequence[int]) -> NDArray[np.bool_]:
        """Return which of `items` have the store or category of `item`."""
        return self._groups[shared]().same(item, np.asarray(items, dtype=np.int64))

    def of_same(self, shared: Shared, item: int, moment: Moment, limit: int) -> list[int]:
        """Return other items of the same store or category, most popular in `tool_fit` first."""
        members = self._groups[shared]().members(item, limit + len(moment.left_out) + _LOOKED_AT)
        return self._found(members[members != item], moment, limit)

    def match(self, query: str, items: Sequence[int]) -> Scores:
        """BM25 score of each item for the words of `query`; NaN where no word matches."""
        return self._search().scores(query, np.asarray(items, dtype=np.int64))

    def search(self, query: str, moment: Moment, limit: int) -> list[int]:
        """Return other items that match words of `query`, best first."""
        looked_at = limit + len(moment.left_out) + _LOOKED_AT
        while True:
            matches = self._search().best(query, looked_at)
            best = self._found(matches, moment, limit)
            if len(best) == limit or len(matches) < looked_at:
                return best
            looked_at *= _GROWTH

    def _found(self, items: Items, moment: Moment, limit: int) -> list[int]:
        """The first `limit` items that somebody took before the moment and that are not left out."""
        there = self._counts.before(items, moment.timestamp) > 0
        return [item for item in items[there].tolist() if item not in moment.left_out][:limit]

    def _grouped(self, shared: Shared) -> ItemGroups:
        fitted = self._store.item[self._store.slice_code == SLICE_CODES["tool_fit"]]
        return ItemGroups(self._store.items[shared], np.bincount(fitted, minlength=self._store.num_items + 1))
