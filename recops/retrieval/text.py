"""TF-IDF of what is written about items, and how near candidates are to a user's latest items.

Vocabulary and idf are fitted on the items seen in `tool_fit`: text statistics are fitted things. Shape suffixes:
I items (row i is item i + 1), J = I + 1 columns for the items with padding, H history items, K candidates, V words, W
words of a history, C samples.
"""

from collections.abc import Sequence

import numpy as np
import polars as pl
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from sklearn.feature_extraction.text import TfidfVectorizer

from recops.retrieval.batches import flat_ranges

TEXT_COLUMNS = ("title", "category", "store", "description")
RECENCY_DECAY = 0.9
"""Weight of a history item relative to the one after it."""


class TextIndex:
    """Unit TF-IDF vectors of all items, in the flat arrays of a sparse matrix: a call takes some dozen microseconds."""

    def __init__(self, items: pl.DataFrame, seen_items: NDArray[np.int64]) -> None:
        texts = item_texts(items)
        vectorizer = TfidfVectorizer(sublinear_tf=True, stop_words="english", min_df=2, dtype=np.float32)
        vectorizer.fit([texts[item - 1] for item in seen_items.tolist()])
        matrix_IV = vectorizer.transform(texts).tocsr()
        self._words, self._weights = matrix_IV.indices.astype(np.int64), matrix_IV.data
        self._ends = matrix_IV.indptr.astype(np.int64)
        self._num_words = matrix_IV.shape[1]

    def similarity(self, history: Sequence[int], items_K: NDArray[np.int64]) -> NDArray[np.float64]:
        """Return the recency-weighted mean cosine of each item to the history, shape (K,), in [0, 1].

        NaN where nothing can be compared: the history is empty, or the item or the whole history has no known word.
        """
        history_H = np.asarray(history, dtype=np.int64)
        places, owner = self._places(history_H)
        decay_H = RECENCY_DECAY ** np.arange(len(history_H))[::-1]
        weights = self._weights[places] * (decay_H / max(decay_H.sum(), 1.0))[owner]
        # Of the words of this history alone: a vector over the whole vocabulary costs more than all the rest.
        words_W, word = np.unique(self._words[places], return_inverse=True)
        profile_W = np.bincount(word, weights, len(words_W))
        places, owner = self._places(items_K)
        asked = self._words[places]
        place = np.minimum(np.searchsorted(words_W, asked), max(len(words_W) - 1, 0))
        shared = np.where(words_W[place] == asked, profile_W[place], 0.0) if len(words_W) else np.zeros(len(asked))
        cosines = np.bincount(owner, self._weights[places] * shared, len(items_K))
        known_K = (self._ends[items_K] > self._ends[items_K - 1]) & bool(profile_W.any())
        return np.where(known_K, cosines, np.nan)

    def similarity_to_all(self, weights_CJ: csr_matrix) -> NDArray[np.float64]:
        """Return what `similarity` returns, for every item and many histories at once, shape (C, J); column 0 is NaN.

        Args:
            weights_CJ: the decaying weights of the items of each history.
        """
        shape = (len(self._ends) - 1, self._num_words)
        matrix_IV = csr_matrix((self._weights, self._words, self._ends), shape=shape)
        totals_C1 = np.asarray(weights_CJ.sum(axis=1))
        profiles_CV = weights_CJ[:, 1:] @ matrix_IV
        cosines_CI = np.asarray((profiles_CV @ matrix_IV.T).todense()) / np.maximum(totals_C1, 1.0)
        known_CI = (np.diff(self._ends) > 0)[None, :] & (np.diff(profiles_CV.indptr) > 0)[:, None]
        return np.pad(np.where(known_CI, cosines_CI, np.nan), ((0, 0), (1, 0)), constant_values=np.nan)

    def _places(self, items: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Places of all words of some items in the flat arrays, and which of the items each belongs to."""
        starts, ends = self._ends[items - 1], self._ends[items]
        return flat_ranges(starts, ends - starts)


def item_texts(items: pl.DataFrame) -> list[str]:
    """Return what is written about each item, columns joined; row i is item i + 1."""
    columns = [pl.col(name).fill_null("") for name in TEXT_COLUMNS]
    texts: list[str] = items.select(pl.concat_str(columns, separator=" ")).to_series().to_list()
    return texts
