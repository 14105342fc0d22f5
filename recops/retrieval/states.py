"""SASRec states of samples, and the users whose states are nearest, computed on first use and kept.

Shape suffixes: S samples of a block, D width, N neighbours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops.data.samples import SAMPLED_SLICES, SampleStore
from recops.records import Sample
from recops.retrieval.embeddings import UserStates
from recops.retrieval.once import Once
from recops.retrieval.sasrec import SasRec, encode_histories
from recops.retrieval.user_index import NUM_SIMILAR_USERS, user_index

_BLOCK = 256


@dataclass(frozen=True, slots=True)
class SimilarUsers:
    """The nearest users (N,) of a sample with their cosines (N,), negative ones as 0; none without a state."""

    users: NDArray[np.int64]
    cosines: NDArray[np.float32]


class SampleStates:
    """Answers for the samples of a store, which are frozen; a sample with a negative id is computed every time.

    Samples are computed in blocks of consecutive ids: the last bits of a state depend on what shares its batch, and
    must not depend on which sample was asked for first. Neighbours are by the cosine of what sets a state apart from
    the mean state: all states share the direction of what is popular. The index of users is built when neighbours are
    first asked for, once, whichever thread asks.
    """

    def __init__(self, store: SampleStore, model: SasRec, users: UserStates) -> None:
        self._store, self._model, self._users = store, model, users.users
        self._index, self._centre = Once(lambda: user_index(users)), users.vectors.mean(axis=0)
        self._num_samples = sum(len(store.sample_ids(name)) for name in SAMPLED_SLICES)
        self._vectors: dict[int, NDArray[np.float32]] = {}  # block -> (S, D)
        self._similar: dict[int, list[SimilarUsers]] = {}  # block -> S of them

    def vector(self, sample: Sample) -> NDArray[np.float32]:
        """Return the state of a sample's history (D,), NaN without a known item in it."""
        if sample.sample_id < 0:
            vector: NDArray[np.float32] = self._encoded([sample])[0]
            return vector
        vector = self._vectors_of(sample.sample_id // _BLOCK)[sample.sample_id % _BLOCK]
        return vector

    def similar(self, sample: Sample) -> SimilarUsers:
        """Return the users whose states are nearest to that of a sample; its own user is none of them."""
        if sample.sample_id < 0:
            return self._neighbours([sample], self._encoded([sample]))[0]
        return self._similar_of(sample.sample_id // _BLOCK)[sample.sample_id % _BLOCK]

    def prepare(self, sample_ids: Iterable[int], *, similar_users: bool) -> None:
        """Compute the states of stored samples, with the whole blocks that they are in; pass over negative ids.

        Args:
            sample_ids: which ones.
            similar_users: whether the nearest users will be asked for, too.
        """
        for block in sorted({int(sample_id) // _BLOCK for sample_id in sample_ids if int(sample_id) >= 0}):
            self._similar_of(block) if similar_users else self._vectors_of(block)

    def _vectors_of(self, block: int) -> NDArray[np.float32]:
        if block not in self._vectors:
            self._vectors[block] = self._encoded(self._samples(block))
        return self._vectors[block]

    def _similar_of(self, block: int) -> list[SimilarUsers]:
        if block not in self._similar:
            self._similar[block] = self._neighbours(self._samples(block), self._vectors_of(block))
        return self._similar[block]

    def _samples(self, block: int) -> list[Sample]:
        return [self._store.sample(i) for i in range(block * _BLOCK, min((block + 1) * _BLOCK, self._num_samples))]

    def _encoded(self, samples: Sequence[Sample]) -> NDArray[np.float32]:
        return encode_histories(self._model, [[event.item for event in sample.history] for sample in samples], _BLOCK)

    def _neighbours(self, samples: Sequence[Sample], vectors_SD: NDArray[np.float32]) -> list[SimilarUsers]:
        """Nearest users of each sample; the sample's own user is none of them."""
        users, asked = self._users, np.asarray([sample.user for sample in samples], dtype=np.int64)
        places = np.minimum(np.searchsorted(users, asked), len(users) - 1)
        own_rows = np.where(users[places] == asked, places, -1)
        states_SD = np.nan_to_num(vectors_SD) - self._centre
        rows_SN, cosines_SN = self._index().nearest(states_SD, NUM_SIMILAR_USERS, excluded_Q=own_rows)
        real_SN = np.isfinite(cosines_SN) & np.isfinite(vectors_SD[:, :1])
        return [
            SimilarUsers(users[rows[real]], np.maximum(cosines[real], 0.0))
            for rows, cosines, real in zip(rows_SN, cosines_SN, real_SN, strict=True)
        ]
