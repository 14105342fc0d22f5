"""Scores of candidates for a sample: the one truth behind the agent's tools and behind the baselines.

Fitted things (SASRec, text statistics) come from `tool_fit`; counts and events run up to strictly before the sample's
time; the user's own history is the sample's. Nothing reads the target. Shape suffixes: K asked items, N neighbours,
C samples, J = I + 1 columns for all items with padding (column i is item i). What is known of items apart from a user
is in `item_evidence`.
"""

from collections.abc import Iterable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recops.config.agent import AgentConfig
from recops.data.samples import SampleStore
from recops.errors import InputError
from recops.records import Sample
from recops.retrieval.batches import flat_ranges
from recops.retrieval.counts import EventCounts, EventWeights, MeanRatings, by_item
from recops.retrieval.embeddings import UserStates, load_user_states
from recops.retrieval.histories import history_weights
from recops.retrieval.item_evidence import ItemEvidence
from recops.retrieval.once import Once
from recops.retrieval.relations import MAX_TAKERS
from recops.retrieval.sasrec import SasRec, load_sasrec
from recops.retrieval.states import SampleStates
from recops.retrieval.text import RECENCY_DECAY, TextIndex
from recops.retrieval.ties import tie_breaks
from recops.seeds import sub_seed

MILLISECONDS_PER_DAY = 86_400_000

Scores = NDArray[np.float64]
Items = NDArray[np.int64]


class Evidence:
    """Every score is an array of the shape of `items`, higher is better, NaN where the evidence cannot say.

    The state of a stored sample is computed on its first use and kept; `prepare` does so for many at once. A sample
    that is not the store's has a negative id. What only some tools need is built on its first use, once.

    Attributes:
        store: the data.
        catalogue: what is known about items apart from a user.
    """

    def __init__(self, store: SampleStore, model: SasRec, users: UserStates, *, agent: AgentConfig, seed: int) -> None:
        self.store = store
        self._seed, self._history_length = seed, agent.history_length
        self._asks_similar_users = "get_similar_users" in agent.tools
        self._known_items = model.known_items.numpy()
        self._embeddings = model.item_embedding.weight.detach().numpy()
        self._states = SampleStates(store, model, users)
        self._counts = EventCounts(store.item, store.timestamp)
        rows = Once(lambda: by_item(store.item, store.timestamp))
        self._ratings = Once(lambda: MeanRatings(self._counts, rows(), store.rating))
        self._taken = self._counts if store.weight is None else EventWeights(self._counts, rows(), store.weight)
        self._user_starts = np.searchsorted(store.user, np.arange(store.num_users + 1)).astype(np.int64)
        self._text = Once(lambda: TextIndex(store.items, np.flatnonzero(self._known_items)))
        self.catalogue = ItemEvidence(
            store, self._embeddings, self._known_items, self._counts, rows, exact_search_max=users.exact_search_max
        )

    @classmethod
    def load(cls, splits: Path, sasrec: Path, agent: AgentConfig, seed: int) -> "Evidence":
        """Open the folders of `validated_splits` and `sasrec_embeddings`.

        Raises:
            InputError: a file is missing or damaged, or the two folders do not belong together.
        """
        store, model = SampleStore.load(splits, sasrec), load_sasrec(sasrec)
        if model.num_items != store.num_items:
            step = "Run the stage sasrec_embeddings again."
            expected = f"{store.num_items}, as in {splits}"
            raise InputError(sasrec, found=f"{model.num_items} items", expected=expected, next_step=step)
        users = load_user_states(sasrec, store.items["item_id"], splits=splits)
        return cls(store, model, users, agent=agent, seed=seed)

    def prepare(self, sample_ids: Iterable[int]) -> None:
        """Compute in batches what the suite needs to know of samples, so that a score costs microseconds later."""
        self._states.prepare(sample_ids, similar_users=self._asks_similar_users)

    def next_item(self, sample: Sample, items: Sequence[int]) -> Scores:
        """SASRec's next-item score; NaN for items never seen in `tool_fit`, and for a history without any seen item."""
        asked_K = _asked(items)
        scores_K = (self._embeddings[asked_K] @ self._states.vector(sample)).astype(np.float64)
        return np.where(self._known_items[asked_K], scores_K, np.nan)

    def text_similarity(self, sample: Sample, items: Sequence[int]) -> Scores:
        """Recency-weighted mean TF-IDF cosine to the latest items of the history; NaN where there is no text."""
        latest = [event.item for event in sample.history[-self._history_length :]]
        return self._text().similarity(latest, _asked(items))

    def popularity(self, sample: Sample, items: Sequence[int], window_days: int | None) -> Scores:
        """How often all users took an item strictly before the sample, ever or in the last `window_days` days.

        Where the recipe weighs kinds of events, each counts what it weighs.
        """
        asked_K = _asked(items)
        if window_days is None:
            return self._taken.before(asked_K, sample.timestamp).astype(np.float64)
        start = sample.timestamp - window_days * MILLISECONDS_PER_DAY
        return self._taken.within(asked_K, start, sample.timestamp).astype(np.float64)

    def times_taken(self, sample: Sample, item: int) -> int:
        """How often all users took one item strictly before the sample, whatever the events weigh."""
        return int(self._counts.before(_asked([item]), sample.timestamp)[0])

    def mean_rating(self, sample: Sample, items: Sequence[int]) -> Scores:
        """Mean of all users' ratings of an item strictly before the sample; NaN where there is none.

        The catalogue's own average is of the day on which the catalogue was read: later ratings are in it.
        """
        return self._ratings().before(_asked(items), sample.timestamp)

    def similar_users(self, sample: Sample, items: Sequence[int]) -> Scores:
        """How often the users with the nearest SASRec states took an item strictly before the sample, by cosine.

        NaN for every item when the history has no state.
        """
        asked_K, near = _asked(items), self._states.similar(sample)
        if not len(near.users):
            return np.full(len(asked_K), np.nan)
        starts_N = self._user_starts[near.users]
        rows, owner = flat_ranges(starts_N, self._user_starts[near.users + 1] - starts_N)
        weights = np.where(self.store.timestamp[rows] < sample.timestamp, near.cosines[owner], 0.0)
        known_K, place_K = np.unique(asked_K, return_inverse=True)
        places = np.minimum(np.searchsorted(known_K, self.store.item[rows]), len(known_K) - 1)
        is_asked = known_K[places] == self.store.item[rows]
        taken_K = np.asarray(np.bincount(places[is_asked], weights[is_asked], len(known_K)), dtype=np.float64)
        return taken_K[place_K]

    def taken_together(self, sample: Sample, items: Sequence[int]) -> Scores:
        """How near users took an item to those of the latest history, before the sample; NaN where nobody did.

        Summed over the last `agent.history_length` items, newer ones weighing more: what both weigh together in the
        orders of users (`relations.TakenTogether`), over the root of how often each was taken, a cosine.
        """
        asked_K, place_K = np.unique(_asked(items), return_inverse=True)
        scores_K = np.zeros(len(asked_K))
        for age, event in enumerate(reversed(sample.history[-self._history_length :])):
            near, weights = self.catalogue.taken_together(event.item, sample.timestamp)
            places = np.minimum(np.searchsorted(asked_K, near), len(asked_K) - 1)
            is_asked = asked_K[places] == near
            # Of an item that many took only the latest takers are looked at: they stand for all.
            times = self.times_taken(sample, event.item)
            share = times / max(1, min(times, MAX_TAKERS))
            scores_K[places[is_asked]] += RECENCY_DECAY**age * share * weights[is_asked] / np.sqrt(max(1, times))
        scores_K /= np.sqrt(np.maximum(1, self._counts.before(asked_K, sample.timestamp)))
        return np.where(scores_K > 0, scores_K, np.nan)[place_K]

    def order(self, scores: Scores, sample: Sample, items: Sequence[int], purpose: str) -> tuple[list[int], list[int]]:
        """Return positions by score, best first, and the positions that cannot be scored (NaN), in seeded order.

        Ties are in seeded order too. The seeded order depends on the sample, the purpose and the item, never on where
        the item stands in the list: the list's order tells nothing.
        """
        ties_K = tie_breaks(_asked(items), self.tie_seeds([sample.sample_id], purpose))
        unknown_K = np.isnan(scores)
        order_K = np.lexsort((ties_K, -np.nan_to_num(scores), unknown_K)).tolist()
        num_known = len(order_K) - int(unknown_K.sum())
        return order_K[:num_known], order_K[num_known:]

    def tie_seeds(self, sample_ids: Iterable[int], purpose: str) -> NDArray[np.int64]:
        """Return the seed of each sample's order of ties, shape (C,)."""
        seeds = [sub_seed(self._seed, "order", purpose, int(sample_id)) for sample_id in sample_ids]
        return np.asarray(seeds, dtype=np.int64)

    def next_item_of_all(self, samples: Sequence[Sample]) -> Scores:
        """`next_item` of every item for many samples, shape (C, J); column 0 is NaN."""
        states_CD = np.stack([self._states.vector(sample) for sample in samples])
        scores_CJ = (states_CD @ self._embeddings.T).astype(np.float64)
        return np.where(self._known_items, scores_CJ, np.nan)

    def text_similarity_of_all(self, samples: Sequence[Sample]) -> Scores:
        """`text_similarity` of every item for many samples, shape (C, J); column 0 is NaN."""
        weights_CJ = history_weights(samples, self.store.num_items, length=self._history_length, decay=RECENCY_DECAY)
        return self._text().similarity_to_all(weights_CJ)


def _asked(items: Sequence[int]) -> Items:
    return np.asarray(items, dtype=np.int64)
