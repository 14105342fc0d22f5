import numpy as np
import polars as pl
import pytest

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
