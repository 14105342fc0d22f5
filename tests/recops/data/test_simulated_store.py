import re
from collections import defaultdict
from functools import cache
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from recops.config.raw_data import SimulatedStoreConfig
from recops.data import schema
from recops.data.shop_catalogue import build_catalogue
from recops.data.shop_words import CATEGORIES, COLOURS, STORES
from recops.data.simulated_store import KINDS, SimulatedStore, simulate
from recops.metrics import ndcg_at_k

DAY = 86_400_000
RANDOM_NDCG = 0.2272  # NDCG@10 of a random order of 20 candidates
NEAR = 0.06  # four standard errors where a kind has the fewest samples (about 350)


def settings(**changes: float) -> SimulatedStoreConfig:
    size = {"num_users": 2000, "num_items": 800, "num_days": 720, "interactions_per_user": 11.0}
    return SimulatedStoreConfig.model_validate({"kind": "simulated_store", **size, **changes})


def words(*texts: str | None) -> set[str]:
    return set(re.findall(r"[a-z]+", " ".join(text or "" for text in texts).lower()))


@cache
def store() -> SimulatedStore:
    return simulate(settings(), seed=7)


def test_equal_seeds_give_equal_stores_and_another_seed_another() -> None:
    again, other = simulate(settings(), seed=7), simulate(settings(), seed=8)
    for name in ("interactions", "items", "truth"):
        assert getattr(store(), name).equals(getattr(again, name))
        assert not getattr(store(), name).equals(getattr(other, name))


@pytest.mark.parametrize(
    ("key", "value"), [("num_users", 50), ("num_items", 60), ("num_days", 40), ("interactions_per_user", 4.0)]
)
def test_every_setting_changes_the_store(key: str, value: float) -> None:
    small = {"num_users": 40, "num_items": 50, "num_days": 30, "interactions_per_user": 3.0}
    base, changed = simulate(settings(**small), seed=7), simulate(settings(**{**small, key: value}), seed=7)
    assert not base.interactions.equals(changed.interactions)


def test_the_store_has_the_size_and_the_columns_that_are_asked_for() -> None:
    tables = store()
    assert set(tables.interactions.columns) == set(schema.INTERACTIONS)
    assert set(tables.items.columns) == set(schema.ITEMS)
    assert (tables.truth["user_id"].n_unique(), len(tables.items)) == (2000, 800)
    assert len(tables.interactions) / 2000 == pytest.approx(11, abs=0.3)
    days = (tables.interactions["timestamp"] - tables.interactions["timestamp"].min()) / DAY
    assert 700 < days.max() < 720
    assert set(tables.interactions["rating"].to_list()) == {None, 1, 2, 3, 4, 5}
    assert tables.items["title"].null_count() == 0
    assert 0 < tables.items["price"].null_count() < 100


def test_nobody_takes_an_item_twice_or_before_it_is_on_sale() -> None:
    tables = store()
    assert tables.interactions.select("user_id", "item_id").is_duplicated().sum() == 0
    generator_seed = np.random.default_rng(0)
    catalogue = build_catalogue(50, 30, generator_seed)
    unreleased = catalogue.release_day > 15
    assert unreleased.any()
    assert np.diff(catalogue.fashion[15], prepend=0)[unreleased].max() == 0


def test_a_word_belongs_to_one_category_one_store_or_one_colour() -> None:
    homes = defaultdict(set)
    for name, parts in CATEGORIES.items():
        for word in words(name, *parts):
            homes[word].add(name)
    for name in (*STORES, *COLOURS):
        for word in words(name):
            homes[word].add(name)
    assert {word: sorted(names) for word, names in homes.items() if len(names) > 1} == {}


def test_no_two_items_of_a_community_share_a_word() -> None:
    catalogue = build_catalogue(800, 720, np.random.default_rng(1))
    texts = catalogue.table.select("title", "category", "store", "description").rows()
    assert len(catalogue.communities) == 20
    assert min(len(order) for order in catalogue.communities) >= 10
    for order in catalogue.communities:
        for one, two in combinations([words(*texts[item]) for item in order], 2):
            assert not one & two


class Judge:
    """Ranks the target of every late interaction among 19 even negatives, by simple evidence from before it."""

    def __init__(self, tables: SimulatedStore) -> None:
        position = {name: index for index, name in enumerate(tables.items["item_id"])}
        events = tables.interactions.join(tables.truth, on="user_id").sort("timestamp")
        self.item = np.asarray([position[name] for name in events["item_id"]])
        self.user = events["user_id"].cast(pl.Categorical).to_physical().to_numpy()
        self.time, kinds = events["timestamp"].to_numpy(), events["kind"].to_numpy()
        cut, generator = int(len(events) * 0.85), np.random.default_rng(0)
        self.words = [words(*row) for row in tables.items.select("title", "category", "store").rows()]
        self.together = self._together(cut)
        self.noise = generator
        cases = [self._case(event, generator) for event in range(cut, len(events)) if self._history(event).size]
        self.kinds = np.asarray([kinds[event] for event, _ in cases])
        self.scores = {
            "words": np.asarray([self._by_words(*case) for case in cases]),
            "recent": np.asarray([self._by_recent_counts(*case) for case in cases]),
            "others": np.asarray([self._by_others(*case) for case in cases]),
        }

    def _history(self, event: int) -> NDArray[np.int64]:
        return self.item[:event][self.user[:event] == self.user[event]]

    def _case(self, event: int, generator: np.random.Generator) -> tuple[int, NDArray[np.int64]]:
        free = np.setdiff1d(np.arange(len(self.words)), np.append(self._history(event), self.item[event]))
        return event, np.append(self.item[event], generator.choice(free, 19, replace=False))  # the target stands first

    def _by_words(self, event: int, candidates: NDArray[np.int64]) -> list[float]:
        recent = self._history(event)[-5:]
        return [sum(len(self.words[item] & self.words[past]) for past in recent) for item in candidates]

    def _by_recent_counts(self, event: int, candidates: NDArray[np.int64]) -> list[float]:
        since = np.searchsorted(self.time, self.time[event] - 60 * DAY)
        return np.bincount(self.item[since:event], minlength=len(self.words))[candidates].tolist()

    def _together(self, cut: int) -> NDArray[np.float64]:
        taken = np.zeros((self.user.max() + 1, len(self.words)))
        taken[self.user[:cut], self.item[:cut]] = 1
        counts = taken.sum(axis=0) + 1
        return np.asarray(taken.T @ taken / np.sqrt(np.outer(counts, counts)))

    def _by_others(self, event: int, candidates: NDArray[np.int64]) -> list[float]:
        return self.together[self._history(event)][:, candidates].sum(axis=0).tolist()

    def ndcg(self, scores: NDArray[np.float64]) -> NDArray[np.float64]:
        shaken = scores + self.noise.random(scores.shape) * 1e-9  # ties in any order
        return ndcg_at_k((shaken[:, 1:] > shaken[:, :1]).sum(axis=1), 10)

    def by_kind(self, name: str) -> dict[str, float]:
        values = self.ndcg(self.scores[name])
        return {kind: float(values[self.kinds == kind].mean()) for kind in KINDS}

    def fused(self) -> float:
        ranks = [np.argsort(np.argsort(-scores, axis=1), axis=1) for scores in self.scores.values()]
        return float(self.ndcg(sum(1 / (4 + rank) for rank in ranks)).mean())


@cache
def judge() -> Judge:
    return Judge(store())


def test_words_find_what_content_and_store_led_users_take_and_nobody_elses() -> None:
    found = judge().by_kind("words")
    assert min(found["content"], found["store"]) > 0.5
    assert found["popularity"] == pytest.approx(RANDOM_NDCG, abs=NEAR)
    assert found["community"] < RANDOM_NDCG


def test_recent_counts_find_what_popularity_led_users_take() -> None:
    found = judge().by_kind("recent")
    assert found["popularity"] > 0.4
    assert max(found["content"], found["store"], found["community"]) < RANDOM_NDCG + 1.5 * NEAR


def test_what_others_took_finds_what_community_led_users_take() -> None:
    found = judge().by_kind("others")
    assert found["community"] > 0.55
    assert found["popularity"] < RANDOM_NDCG + NEAR


def test_no_single_evidence_comes_near_a_fusion_of_three() -> None:
    singles = {name: float(judge().ndcg(scores).mean()) for name, scores in judge().scores.items()}
    assert min(singles.values()) > RANDOM_NDCG + 0.05
    assert judge().fused() > max(singles.values()) + 0.03
