"""Items that match words: BM25 (Robertson and Zaragoza 2009) over title, category and store.

How rare a word and how long a text is are statistics of the items seen in `tool_fit`; a word that these do not have is
as rare as a word can be. Every matching item is scored: the search is exact. Shape suffixes: I items (row i is item
i + 1), J = I + 1 columns for the items with padding, P postings (pairs of a word and an item that has it), V words.
"""

import bisect
import unicodedata

import numpy as np
import polars as pl
import regex
from numpy.typing import NDArray
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from recops.retrieval.batches import flat_ranges

SEARCHED_COLUMNS = ("title", "category", "store")
MAX_WORDS = 16
"""Words of a query; those beyond are not read: a bound on the time of a call."""

_SATURATION, _LENGTH_WEIGHT = 1.2, 0.75
"""BM25's k1 and b, as its authors recommend."""
_WORD = r"[\p{L}\p{M}\p{N}_]{2,}"
"""Of Unicode's own classes, so that Rust, for the catalogue, and Python, for a query, read the same words.

They do where both know the character; of those that the newest versions of Unicode added, each knows its own.
"""

Items = NDArray[np.int64]
Scores = NDArray[np.float64]


class SearchIndex:
    """An inverted index in flat arrays: for each word its items, ascending, with the word's weight in each."""

    def __init__(self, items: pl.DataFrame, seen_J: NDArray[np.bool_]) -> None:
        postings = _postings(items)
        self._num_columns = len(items) + 1
        self._words = postings["word"].unique(maintain_order=True)  # sorted, for the postings are
        word_P = postings["word"].rle_id().to_numpy().astype(np.int64)
        self._items = postings["item"].to_numpy()
        self._starts = np.searchsorted(word_P, np.arange(len(self._words) + 1))
        self._weights = _bm25(self._items, word_P, postings["count"].to_numpy(), seen_J)

    def match(self, query: str) -> tuple[Items, Scores]:
        """Return every item that has a word of `query`, ascending, and its score, greater than 0."""
        codes = np.asarray(sorted({code for word in query_words(query) if (code := self._code(word)) >= 0}))
        if not len(codes):
            return np.empty(0, dtype=np.int64), np.empty(0)
        places, _ = flat_ranges(self._starts[codes], self._starts[codes + 1] - self._starts[codes])
        weights = self._weights[places].astype(np.float64)
        scores_J = np.asarray(np.bincount(self._items[places], weights, self._num_columns), dtype=np.float64)
        found = np.flatnonzero(scores_J)
        return found, scores_J[found]

    def _code(self, word: str) -> int:
        """Place of a word in the vocabulary, -1 if it is not there; UTF-8 and Python sort alike."""
        place = bisect.bisect_left(self._words, word)
        return place if place < len(self._words) and self._words[place] == word else -1


def query_words(query: str) -> list[str]:
    """Return the words of a query that a search looks for: lower case, no stop words, at most `MAX_WORDS`."""
    words = regex.findall(_WORD, unicodedata.normalize("NFKC", query).lower())
    return [word for word in dict.fromkeys(words) if word not in ENGLISH_STOP_WORDS][:MAX_WORDS]


def best_first(items: Items, scores: Scores, limit: int) -> Items:
    """Return the `limit` items with the highest scores, best first, of equal ones the lower number."""
    if len(items) > limit:
        least = np.partition(scores, len(scores) - limit)[len(scores) - limit]
        kept = scores >= least
        items, scores = items[kept], scores[kept]
    return items[np.lexsort((items, -scores))[:limit]]


def catalogue_words(text: pl.Expr) -> pl.Expr:
    """Return the words of a column of texts, a list each, stop words and repeats included."""
    return text.str.normalize("NFKC").str.to_lowercase().str.extract_all(_WORD)


def _postings(items: pl.DataFrame) -> pl.DataFrame:
    """Pairs of word and item with their count, sorted by word, then item."""
    text = pl.concat_str([pl.col(name) for name in SEARCHED_COLUMNS], separator=" ", ignore_nulls=True)
    return (
        items.lazy()
        .select(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias("item"), catalogue_words(text).alias("word"))
        .explode("word")
        .filter(pl.col("word").is_not_null() & ~pl.col("word").is_in(sorted(ENGLISH_STOP_WORDS)))
        .group_by("word", "item")
        .agg(pl.len().cast(pl.Int32).alias("count"))
        .sort("word", "item")
        .collect()
    )


def _bm25(
    item_P: NDArray[np.int32], word_P: NDArray[np.integer], count_P: NDArray[np.int32], seen_J: NDArray[np.bool_]
) -> NDArray[np.float32]:
    """Return the weight of each posting: rarity of the word times its saturated, length-normalised count."""
    length_J = np.bincount(item_P, count_P, len(seen_J))
    num_seen = max(int(seen_J.sum()), 1)
    mean_length = max(float(length_J[seen_J].sum()) / num_seen, 1.0)
    having_V = np.bincount(word_P[seen_J[item_P]], minlength=int(word_P.max(initial=-1)) + 1)
    rarity_V = np.log1p((num_seen - having_V + 0.5) / (having_V + 0.5))
    longer_P = 1.0 - _LENGTH_WEIGHT + _LENGTH_WEIGHT * length_J[item_P] / mean_length
    weights_P = rarity_V[word_P] * count_P * (_SATURATION + 1.0) / (count_P + _SATURATION * longer_P)
    return np.asarray(weights_P, dtype=np.float32)
