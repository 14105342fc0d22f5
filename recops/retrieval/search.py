"""Items that match words: BM25 (Robertson and Zaragoza 2009) over title, category and store.

How rare a word and how long a text is are statistics of the items seen in `tool_fit`; a word that these do not have is
as rare as a word can be. The search is exact. Shape suffixes: I items (row i is item i + 1), K asked items, J = I + 1
columns for the items with padding, P postings (pairs of a word and an item that has it), V words.
"""

import bisect
import unicodedata

import numpy as np
import polars as pl
import regex
from numpy.typing import NDArray
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

SEARCHED_COLUMNS = ("title", "category", "store")
MAX_WORDS = 16
"""Words of a query; those beyond are not read: a bound on the time of a call."""

_ROUNDING = 1e-9
"""By how much two sums of the same weights may differ: nothing is left out for less."""
_SATURATION, _LENGTH_WEIGHT = 1.2, 0.75
"""BM25's k1 and b, as its authors recommend."""
_WORD = r"[\p{L}\p{M}\p{N}_]{2,}"
"""Of Unicode's own classes, so that Rust, for the catalogue, and Python, for a query, read the same words.

They do where both know the character; of those that the newest versions of Unicode added, each knows its own.
"""

Items = NDArray[np.int64]
Rows = NDArray[np.int32]
"""Items as the postings have them: of another type, a search in a long list would copy the list first."""
Scores = NDArray[np.float64]


class SearchIndex:
    """An inverted index in flat arrays: for each word its items, ascending, with the word's weight in each."""

    def __init__(self, items: pl.DataFrame, seen_J: NDArray[np.bool_]) -> None:
        postings = _postings(items)
        self._words = postings["word"].unique(maintain_order=True)  # sorted, for the postings are
        word_P = postings["word"].rle_id().to_numpy().astype(np.int64)
        self._items = postings["item"].to_numpy()
        self._starts = np.searchsorted(word_P, np.arange(len(self._words) + 1))
        self._weights = _bm25(self._items, word_P, postings["count"].to_numpy(), seen_J)
        self._most = np.maximum.reduceat(self._weights, self._starts[:-1]) if len(word_P) else self._weights

    def scores(self, query: str, items_K: Items) -> Scores:
        """Return the score of each item for the words of `query`, shape (K,), NaN where it has none of them."""
        scores_K = self._totals(self._codes(query), items_K.astype(np.int32))
        return np.where(scores_K > 0, scores_K, np.nan)

    def best(self, query: str, limit: int) -> Items:
        """Return the `limit` items that match `query` best, best first, of equal ones the lower number; all if fewer.

        Words are read rarest first, and an item is left out as soon as the most that all words not yet read could add
        does not lift it among the best (MaxScore; Turtle and Flood 1995): the long lists of common words are mostly
        only looked up for a few items.
        """
        codes = self._codes(query)
        rare_first = codes[np.argsort(self._starts[codes + 1] - self._starts[codes], kind="stable")]
        most_left = np.append(np.cumsum(self._most[rare_first][::-1], dtype=np.float64)[::-1], 0.0)
        items, sums, least = np.empty(0, dtype=np.int32), np.empty(0), 0.0
        for code, most, left in zip(rare_first.tolist(), most_left[:-1].tolist(), most_left[1:].tolist(), strict=True):
            weights, new, new_weights = self._read(code, items, least - left if most >= least else None)
            items, sums = np.append(items, new), np.append(sums + weights, new_weights)
            if len(sums) >= limit:
                least = float(np.partition(sums, len(sums) - limit)[len(sums) - limit]) - _ROUNDING
            kept = sums + left >= least
            items, sums = items[kept], sums[kept]
        return best_first(items.astype(np.int64), self._totals(codes, items), limit)

    def _read(self, code: int, items_K: Rows, least: float | None) -> tuple[Scores, Rows, Scores]:
        """Return the weight of a word in some items (K,), and the other items in which it weighs at least `least`.

        None: no other items.
        """
        having, weights = (one[self._starts[code] : self._starts[code + 1]] for one in (self._items, self._weights))
        places_K = np.minimum(np.searchsorted(having, items_K), len(having) - 1)
        has_K = having[places_K] == items_K
        weights_K = np.where(has_K, weights[places_K], 0.0)
        if least is None:
            return weights_K, items_K[:0], weights_K[:0]
        is_new = weights >= np.nextafter(np.float32(least), np.float32(-np.inf))  # compared as they are, rounded down
        is_new[places_K[has_K]] = False
        return weights_K, having[is_new], weights[is_new].astype(np.float64)

    def _codes(self, query: str) -> Items:
        """Places of the words of a query in the vocabulary, ascending."""
        codes = {code for word in query_words(query) if (code := self._code(word)) >= 0}
        return np.asarray(sorted(codes), dtype=np.int64)

    def _code(self, word: str) -> int:
        """Place of a word in the vocabulary, -1 if it is not there; UTF-8 and Python sort alike."""
        place = bisect.bisect_left(self._words, word)
        return place if place < len(self._words) and self._words[place] == word else -1

    def _totals(self, codes: Items, items_K: Rows) -> Scores:
        """Sum of the weights of the words in each item, always added up in the order of the codes, shape (K,)."""
        totals_K = np.zeros(len(items_K))
        for start, end in zip(self._starts[codes].tolist(), self._starts[codes + 1].tolist(), strict=True):
            having = self._items[start:end]
            places_K = np.minimum(np.searchsorted(having, items_K), end - start - 1)
            totals_K += np.where(having[places_K] == items_K, self._weights[start:end][places_K], 0.0)
        return totals_K


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
