import numpy as np
import polars as pl
import pytest
from scipy.sparse import csr_matrix

from recops.retrieval.text import RECENCY_DECAY, TextIndex

TITLES = ["red shoe", "red shoe", "blue lamp", "blue lamp", None, "green chair", "green chair"]
SEEN = np.array([1, 2, 3, 4, 5])


def index(titles: list[str | None] = TITLES) -> TextIndex:
    empty = {name: [None] * len(titles) for name in ("category", "store", "description")}
    return TextIndex(pl.DataFrame({"title": titles, **empty}, schema_overrides=dict.fromkeys(empty, pl.String)), SEEN)


def test_equal_texts_are_nearest() -> None:
    np.testing.assert_allclose(index().similarity([1], np.array([2, 3])), [1.0, 0.0], atol=1e-6)


def test_the_latest_item_weighs_most() -> None:
    red, blue = index().similarity([1, 3], np.array([2, 4]))
    assert red / blue == pytest.approx(RECENCY_DECAY)
    assert red + blue == pytest.approx(1.0)


def test_without_words_there_is_no_score() -> None:
    assert np.isnan(index().similarity([1], np.array([5]))).all()
    assert np.isnan(index().similarity([5], np.array([1]))).all()
    assert np.isnan(index().similarity([], np.array([1]))).all()


def test_vocabulary_comes_from_seen_items_only() -> None:
    assert np.isnan(index().similarity([6], np.array([7]))).all()
    scores = index().similarity([1, 3], np.array([2, 4]))
    other = index([*TITLES[:5], "red red", "shoe lamp"]).similarity([1, 3], np.array([2, 4]))
    np.testing.assert_array_equal(scores, other)


def test_one_history_is_read_as_many_at_once_are() -> None:
    generator = np.random.default_rng(0)
    words = [f"word{number}" for number in range(30)]
    titles = [" ".join(generator.choice(words, generator.integers(0, 9))) or None for _ in range(60)]
    empty = {name: [None] * len(titles) for name in ("category", "store", "description")}
    frame = pl.DataFrame({"title": titles, **empty}, schema_overrides=dict.fromkeys(empty, pl.String))
    whole, every = TextIndex(frame, np.arange(1, 41)), np.arange(1, 61)
    for _ in range(30):
        history = generator.choice(every, generator.integers(1, 8), replace=False).tolist()
        decay = RECENCY_DECAY ** np.arange(len(history))[::-1]
        weights = csr_matrix((decay, ([0] * len(history), history)), shape=(1, 61))
        at_once = whole.similarity_to_all(weights)[0, 1:]
        np.testing.assert_allclose(whole.similarity(history, every), at_once, atol=1e-6)
