"""SASRec states of samples, and the users whose states are nearest, computed on first use and kept.

Shape suffixes: U users with a state, D width, N neighbours.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops.data.samples import SAMPLED_SLICES, SampleStore
from recops.records import Sample
from recops.retrieval.embeddings import UserStates
from recops.retrieval.sasrec import SasRec, encode_histories
from recops.retrieval.user_index import NUM_SIMILAR_USERS, user_index

_BLOCK = 256


@dataclass(frozen=True, slots=True)
class SampleState:
    """State of a sample's history (D,), and the nearest users (N,) with their cosines (N,), negative ones as 0.

    Without a known item in the history the state is NaN and there are no neighbours.
    """

    vector: NDArray[np.float32]
    users: NDArray[np.int64]
    cosines: NDArray[np.float32]


class SampleStates:
    """Answers for the samples of a store, which are frozen; a sample with a negative id is computed every time.

    Samples are computed in blocks of consecutive ids: the last bits of a state depend on what shares its batch, and
    must not depend on which sample was asked for first. Neighbours are by the cosine of what sets a state apart from
    the mean state: all states share the direction of what is popular.
    """

    def __init__(self, store: SampleStore, model: SasRec, users: UserStates) -> None:
        self._store, self._model = store, model
        self._centre = users.vectors.mean(axis=0)
        self._users, self._index = users.users, user_index(users)
        self._num_samples = sum(len(store.sample_ids(name)) for name in SAMPLED_SLICES)
        self._kept: dict[int, SampleState] = {}

    def of(self, sample: Sample) -> SampleState:
        """Return the state of one sample."""
        if sample.sample_id < 0:
            return self._compute([sample])[0]
        if sample.sample_id not in self._kept:
            self.prepare([sample.sample_id])
        return self._kept[sample.sample_id]

    def prepare(self, sample_ids: Iterable[int]) -> None:
        """Compute the states of stored samples, with the whole blocks that they are in; pass over negative ids."""
        for block in sorted({int(i) // _BLOCK for i in sample_ids if int(i) >= 0 and int(i) not in self._kept}):
            ids = range(block * _BLOCK, min((block + 1) * _BLOCK, self._num_samples))
            states = self._compute([self._store.sample(i) for i in ids])
            self._kept.update(zip(ids, states, strict=True))

    def _compute(self, samples: Sequence[Sample]) -> list[SampleState]:
        histories = [[event.item for event in sample.history] for sample in samples]
        vectors_SD = encode_histories(self._model, histories, _BLOCK)
        has_state = np.isfinite(vectors_SD[:, 0])
        rows_SN, cosines_SN = self._neighbours(samples, np.nan_to_num(vectors_SD))
        real_SN = np.isfinite(cosines_SN) & has_state.reshape(-1, 1)
        return [
            SampleState(vector, self._users[rows[real]], np.maximum(cosines[real], 0.0))
            for vector, rows, cosines, real in zip(vectors_SD, rows_SN, cosines_SN, real_SN, strict=True)
        ]

    def _neighbours(
        self, samples: Sequence[Sample], vectors_SD: NDArray[np.float32]
    ) -> tuple[NDArray[np.int64], NDArray[np.float32]]:
        """Nearest users of each sample; the sample's own user is none of them."""
        asked = np.asarray([sample.user for sample in samples], dtype=np.int64)
        places = np.minimum(np.searchsorted(self._users, asked), len(self._users) - 1)
        own_rows = np.where(self._users[places] == asked, places, -1)
        return self._index.nearest(vectors_SD - self._centre, NUM_SIMILAR_USERS, excluded_Q=own_rows)
