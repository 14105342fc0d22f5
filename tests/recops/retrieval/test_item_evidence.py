"""The parts of `ItemEvidence`, each against the plainest way to say the same."""

import math
import re
import threading
import time
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.feature_extraction.text import ENGLISH_STOP_WORDS

from recops.data.samples import SampleStore
from recops.retrieval import index as index_module
from recops.retrieval.counts import EventCounts, MeanRatings, by_item
from recops.retrieval.item_evidence import ItemEvidence, Moment
from recops.retrieval.item_groups import ItemGroups
from recops.retrieval.once import Once
from recops.retrieval.relations import MAX_TAKERS, TakenTogether
from recops.retrieval.search import MAX_WORDS, SearchIndex, best_first, catalogue_words, query_words
from recops.retrieval.similar_items import SimilarItems
from tests.recops.tools.shop import DAY, NUM_ITEMS, items, write_shop

NOBODY: frozenset[int] = frozenset()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SampleStore:
    return SampleStore.load(write_shop(tmp_path_factory.mktemp("shop"))[0])


def seen_items(store: SampleStore) -> np.ndarray:
    seen = np.bincount(store.item[store.slice_code == 0], minlength=NUM_ITEMS + 1) > 0
    seen[0] = False
    return seen


def rows_of(store: SampleStore) -> Once[np.ndarray]:
    return Once(lambda: by_item(store.item, store.timestamp))


def plainly_together(store: SampleStore, item: int, timestamp: int) -> dict[int, float]:
    weights: dict[int, float] = {}
    rows = range(len(store.item))
    takers = sorted((row for row in rows if store.item[row] == item and store.timestamp[row] < timestamp),
                    key=lambda row: (store.timestamp[row], row))[-MAX_TAKERS:]  # fmt: skip
    for row in takers:
        for other in range(max(row - 3, 0), min(row + 4, len(store.item))):
            same_user = store.user[other] == store.user[row]
            if same_user and store.timestamp[other] < timestamp and store.item[other] != item:
                weights[int(store.item[other])] = weights.get(int(store.item[other]), 0.0) + 1 / abs(other - row)
    return weights


@pytest.mark.parametrize("takers", [MAX_TAKERS, 2])
def test_taken_together_counts_what_stood_near_in_the_order_of_users(
    takers: int, store: SampleStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recops.retrieval.relations.MAX_TAKERS", takers)
    monkeypatch.setattr("tests.recops.retrieval.test_item_evidence.MAX_TAKERS", takers)
    together = TakenTogether(store, by_item(store.item, store.timestamp))
    for item in range(1, NUM_ITEMS + 1):
        for day in (0, 20_031, 20_056, 10**6):
            found, weights = together.before(item, day * DAY)
            expected = plainly_together(store, item, day * DAY)
            assert dict(zip(found.tolist(), weights.tolist(), strict=True)) == pytest.approx(expected)
            assert list(weights) == sorted(weights, reverse=True)


def test_groups_hold_the_items_of_a_value_the_most_taken_first() -> None:
    values = pl.Series(["b", "a", None, "a", "", "b", "a"])
    groups = ItemGroups(values, np.array([0, 1, 2, 5, 9, 9, 3, 2]))

    assert groups.members(4, 9).tolist() == [4, 2, 7]
    assert groups.members(7, 2).tolist() == [4, 2]
    assert groups.members(3, 9).tolist() == groups.members(5, 9).tolist() == []
    assert groups.same(2, np.array([1, 2, 3, 4, 5])).tolist() == [False, True, False, True, False]
    assert not groups.same(3, np.array([3, 5])).any()


def plain_bm25(frame: pl.DataFrame, query: str, seen: np.ndarray) -> dict[int, float]:
    texts = [" ".join(filter(None, row)).lower() for row in frame.select("title", "category", "store").rows()]
    words = [[word for word in re.findall(r"\w\w+", text) if word not in ENGLISH_STOP_WORDS] for text in texts]
    fitted = [words[item - 1] for item in np.flatnonzero(seen)]
    mean = sum(map(len, fitted)) / len(fitted)
    scores: dict[int, float] = {}
    for word in set(re.findall(r"\w\w+", query.lower())) - ENGLISH_STOP_WORDS:
        having = sum(word in text for text in fitted)
        rarity = math.log(1 + (len(fitted) - having + 0.5) / (having + 0.5))
        for item, text in enumerate(words, start=1):
            count = text.count(word)
            if count:
                share = count * 2.2 / (count + 1.2 * (0.25 + 0.75 * len(text) / mean))
                scores[item] = scores.get(item, 0.0) + rarity * share
    return scores


@pytest.mark.parametrize("query", ["Teal KETTLE", "a gift for the Northwind games, racing", "Lamps", "zebra", "of the"])
def test_search_is_bm25_with_the_statistics_of_the_seen_items(query: str, store: SampleStore) -> None:
    seen = seen_items(store)

    scores = SearchIndex(store.items, seen).scores(query, np.arange(1, NUM_ITEMS + 1))

    found = {item: score for item, score in enumerate(scores.tolist(), start=1) if not math.isnan(score)}
    assert found == pytest.approx(plain_bm25(store.items, query, seen), rel=1e-5)


def skewed_titles(num_items: int) -> pl.DataFrame:
    """Words from everywhere to nowhere, as a catalogue has them, many of the scores equal."""
    generator = np.random.default_rng(1)
    titles = [" ".join(f"w{n}" for n in np.minimum(generator.zipf(1.4, 4), 200)) for _ in range(num_items)]
    absent = pl.Series([None] * num_items, dtype=pl.String)
    return pl.DataFrame({"title": titles, "category": absent, "store": absent})


def test_words_that_are_not_read_change_nothing() -> None:
    generator, frame = np.random.default_rng(2), skewed_titles(3_000)
    index, every = SearchIndex(frame, np.ones(3_001, dtype=np.bool_)), np.arange(1, 3_001)
    for _ in range(300):
        words = np.minimum(generator.zipf(1.4, generator.integers(1, 7)), 250)
        query, limit = " ".join(f"w{word}" for word in words), int(generator.integers(1, 400))

        scores = index.scores(query, every)

        matching = every[~np.isnan(scores)]
        assert index.best(query, limit).tolist() == best_first(matching, scores[matching - 1], limit).tolist(), query


def test_a_long_list_of_a_common_word_is_only_looked_up(monkeypatch: pytest.MonkeyPatch) -> None:
    index = SearchIndex(skewed_titles(3_000), np.ones(3_001, dtype=np.bool_))
    opened: list[bool] = []
    read = SearchIndex._read

    def kept(self: SearchIndex, code: int, items: np.ndarray, least: float | None) -> tuple[Any, ...]:
        opened.append(least is not None)
        return read(self, code, items, least)

    monkeypatch.setattr(SearchIndex, "_read", kept)
    index.best("w1 w40 w50", 5)
    assert opened[0]
    assert opened[-1] is False, "w1, which most items have"


def test_a_query_is_read_up_to_a_number_of_words_each_once() -> None:
    assert query_words("The RED red \uff32\uff25\uff24 cable, for a caf\u00e9") == ["red", "cable", "caf\u00e9"]
    assert len(query_words(" ".join(f"word{number}" for number in range(99)))) == MAX_WORDS


# Of characters that this Python knows: of those that Unicode added later, each library knows its own.
@settings(max_examples=60, deadline=None)
@given(st.text(st.characters(exclude_categories=("Cs", "Cn"))))
def test_a_query_is_read_as_the_catalogue_is(text: str) -> None:
    frame = pl.DataFrame({"text": [text]}, schema={"text": pl.String})
    words = frame.select(catalogue_words(pl.col("text"))).to_series()[0].to_list()

    assert query_words(text) == [word for word in dict.fromkeys(words) if word not in ENGLISH_STOP_WORDS][:MAX_WORDS]


def test_the_best_are_those_of_a_full_sort_ties_by_number() -> None:
    generator = np.random.default_rng(0)
    found, scores = np.arange(3, 503), generator.integers(0, 9, 500).astype(np.float64)
    expected = sorted(found.tolist(), key=lambda item: (-scores[item - 3], item))

    for limit in (1, 7, 499, 500, 900):
        assert best_first(found, scores, limit).tolist() == expected[:limit]


@pytest.mark.parametrize("exact_search_max", [1000, 1])
def test_similar_items_are_by_cosine_to_the_mean_item(exact_search_max: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index_module, "_PROBED_FRACTION", 1.0)
    vectors = np.random.default_rng(0).normal(size=(200, 8)).astype(np.float32) + 3.0
    known = np.ones(200, dtype=np.bool_)
    known[[0, 7, 50]] = False
    centred = vectors - vectors[known].mean(axis=0)
    unit = centred / np.linalg.norm(centred, axis=1, keepdims=True)
    similar = SimilarItems(vectors, known, exact_search_max=exact_search_max)

    cosines = similar.cosines(9, np.arange(1, 200))

    assert np.isnan(cosines[[6, 49]]).all()
    assert np.isnan(similar.cosines(7, np.array([3, 7]))).all()
    np.testing.assert_allclose(cosines[known[1:]], (unit @ unit[9])[1:][known[1:]], atol=1e-5)
    expected = [item for item in np.argsort(-(unit @ unit[9])).tolist() if known[item] and item != 9]
    assert similar.nearest(9, 12).tolist() == expected[:12]
    assert similar.nearest(7, 12).tolist() == []


def test_mean_ratings_are_those_before_a_moment(store: SampleStore) -> None:
    counts = EventCounts(store.item, store.timestamp)
    means = MeanRatings(counts, by_item(store.item, store.timestamp), store.rating)
    moment = 20_045 * DAY

    found = means.before(np.arange(1, NUM_ITEMS + 1), moment)

    for item, mean in enumerate(found.tolist(), start=1):
        ratings = store.rating[(store.item == item) & (store.timestamp < moment) & ~np.isnan(store.rating)]
        assert mean == pytest.approx(float(ratings.mean()) if len(ratings) else math.nan, nan_ok=True)


def test_what_is_found_was_taken_before_and_is_not_left_out(store: SampleStore) -> None:
    seen = seen_items(store)
    vectors = np.random.default_rng(0).normal(size=(NUM_ITEMS + 1, 4)).astype(np.float32)
    counts = EventCounts(store.item, store.timestamp)
    catalogue = ItemEvidence(store, vectors, seen, counts, rows_of(store), exact_search_max=1000)
    early = int(store.timestamp.min()) + 1
    first = set(store.item[store.timestamp < early].tolist())

    now, then = (Moment(when, NOBODY) for when in (10**15, early))

    assert len(catalogue.search("kettle", now, 5)) == 5
    assert set(catalogue.search("kettle lamp mat dock game", then, 99)) == first
    assert set(catalogue.similar(2, then, 99)) <= first
    best = catalogue.search("kettle", now, 5)[0]
    assert best not in catalogue.search("kettle", Moment(10**15, frozenset([best])), 5)
    assert catalogue.of_same("store", 1, now, 3)[0] not in catalogue.of_same(
        "store", 1, Moment(10**15, frozenset(catalogue.of_same("store", 1, now, 1))), 3
    )


def test_a_search_looks_further_until_it_has_enough(store: SampleStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops.retrieval.item_evidence._LOOKED_AT", 0)
    vectors = np.ones((NUM_ITEMS + 1, 2), dtype=np.float32)
    counts = EventCounts(store.item, store.timestamp)
    catalogue = ItemEvidence(store, vectors, seen_items(store), counts, rows_of(store), exact_search_max=1000)
    late = sorted(range(1, NUM_ITEMS + 1), key=lambda item: store.timestamp[store.item == item].min(initial=2**60))
    when = int(store.timestamp[store.item == late[10]].min()) + 1

    assert set(catalogue.search("kettle lamp mat dock game", Moment(when, NOBODY), 11)) == set(late[:11])


def test_a_part_is_built_once_whoever_asks_first() -> None:
    built: list[int] = []

    def build() -> object:
        time.sleep(0.01)
        built.append(1)
        return object()

    part = Once(build)
    assert not built
    found: list[object] = []
    threads = [threading.Thread(target=lambda: found.append(part())) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len(built) == 1
    assert len(set(map(id, found))) == 1


def test_the_shop_has_what_these_tests_need(tmp_path: Path) -> None:
    frame = items()
    assert frame["category"].null_count()
    assert "" in frame["store"]
