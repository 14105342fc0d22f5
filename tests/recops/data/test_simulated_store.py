import re
from collections import defaultdict
from functools import cache
from itertools import combinations, pairwise

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from recops.config.raw_data import SimulatedStoreConfig
from recops.data import schema
from recops.data.shop_catalogue import Catalogue, build_catalogue
from recops.data.shop_communities import PLANTED_COMMUNITY
from recops.data.shop_rules import KINDS, RULES
from recops.data.shop_words import ACCESSORIES, CATEGORIES, COLOURS, GAMES, PLANTED_CATEGORIES, STORES
from recops.data.simulated_store import SimulatedStore, simulate
from recops.metrics import ndcg_at_k

DAY = 86_400_000
FIRST = 1_577_836_800_000
RANDOM_NDCG = 0.2272  # NDCG@10 of a random order of 20 candidates
NEAR = 0.06  # four standard errors where a kind has the fewest samples (about 350)


def settings(**changes: float) -> SimulatedStoreConfig:
    size = {"num_users": 2000, "num_items": 800, "num_days": 720, "interactions_per_user": 11.0, "weeks": 0}
    return SimulatedStoreConfig.model_validate({"kind": "simulated_store", **size, **changes})


def words(*texts: str | None) -> set[str]:
    return set(re.findall(r"[a-z]+", " ".join(text or "" for text in texts).lower()))


@cache
def store() -> SimulatedStore:
    return simulate(settings(), seed=7)


@cache
def catalogue() -> Catalogue:
    return build_catalogue(settings(), 7)


def tables(simulated: SimulatedStore) -> dict[str, pl.DataFrame]:
    truth = {name: table for name, table in vars(simulated.truth).items() if name != "rules"}
    return {"interactions": simulated.interactions, "catalogue": simulated.items, **truth}


SMALL = {"num_users": 40, "num_items": 50, "num_days": 30, "interactions_per_user": 3.0}


def test_equal_seeds_give_equal_stores_and_another_seed_another() -> None:
    few = settings(num_users=300)
    again, other = tables(simulate(few, seed=7)), tables(simulate(few, seed=8))
    for name, table in tables(simulate(few, seed=7)).items():
        assert table.equals(again[name])
        assert not table.equals(other[name])


@pytest.mark.parametrize(
    ("key", "value"),
    [("num_users", 50), ("num_items", 60), ("num_days", 40), ("interactions_per_user", 4.0), ("weeks", 1)],
)
def test_every_setting_changes_the_store(key: str, value: float) -> None:
    base, changed = simulate(settings(**SMALL), seed=7), simulate(settings(**{**SMALL, key: value}), seed=7)
    assert not base.interactions.equals(changed.interactions)


def test_a_week_adds_rows_users_and_items_and_changes_none() -> None:
    grown = {weeks: tables(simulate(settings(num_users=300, weeks=weeks), seed=7)) for weeks in (0, 1, 4)}
    for fewer, more in ((0, 1), (1, 4)):
        for name, table in grown[fewer].items():
            assert grown[more][name].head(len(table)).equals(table), name
        for name in ("interactions", "catalogue", "users", "waves"):
            assert len(grown[more][name]) > len(grown[fewer][name]), name


def test_a_week_holds_its_own_days_its_new_items_and_its_new_users() -> None:
    before, after = (simulate(settings(num_users=1000, weeks=weeks), seed=7) for weeks in (7, 8))
    week = after.interactions.tail(len(after.interactions) - len(before.interactions))
    days = (week["timestamp"] - FIRST) / DAY
    assert days.min() >= 720 + 49
    assert days.max() < 720 + 56
    assert days.is_sorted()
    users, items = (week[name].unique() for name in ("user_id", "item_id"))
    new_users = after.truth.users.tail(len(after.truth.users) - len(before.truth.users))["user_id"]
    assert len(new_users) == 9
    assert set(new_users) <= set(users)
    assert 0.4 * len(users) < users.is_in(before.interactions["user_id"].implode()).sum() < len(users)
    assert items.is_in(after.items.tail(16)["item_id"].implode()).any()
    per_week = len(before.interactions.filter(pl.col("timestamp") < FIRST + 720 * DAY)) / 720 * 7
    assert 0.5 * per_week < len(week) < 1.5 * per_week


def test_fashion_goes_on_through_a_year_of_weeks() -> None:
    """As many items share the choices of a day as before: neither a few new ones alone, nor all alike."""
    fashion = build_catalogue(settings(weeks=52), 7).fashion
    effective = 1 / (fashion**2).sum(axis=1)
    first_days = effective[100:700]
    assert effective[720:].min() > 0.6 * first_days.min()
    assert effective[720:].max() < 1.5 * first_days.max()


def test_the_store_has_the_size_and_the_columns_that_are_asked_for() -> None:
    simulated = store()
    interactions, items = simulated.interactions, simulated.items
    assert set(interactions.columns) == set(schema.INTERACTIONS)
    assert set(items.columns) == set(schema.ITEMS)
    assert (simulated.truth.users["user_id"].n_unique(), len(items)) == (2000, 800)
    assert len(interactions) / 2000 == pytest.approx(11, abs=0.3)
    days = (interactions["timestamp"] - interactions["timestamp"].min()) / DAY
    assert 700 < days.max() < 720
    assert set(interactions["rating"].to_list()) == {None, 1, 2, 3, 4, 5}
    assert items["title"].null_count() == 0
    assert 0 < items["price"].null_count() < 100


def test_nobody_takes_an_item_twice_or_before_it_is_on_sale() -> None:
    simulated = simulate(settings(num_users=500, weeks=3), seed=7)
    assert simulated.interactions.select("user_id", "item_id").is_duplicated().sum() == 0
    events = simulated.interactions.join(simulated.truth.items, on="item_id")
    assert ((events["timestamp"] - FIRST) / DAY >= events["release_day"]).all()
    assert (simulated.truth.items["release_day"] > 720).sum() == 6
    unreleased = catalogue().release_day > 360
    assert unreleased.any()
    assert catalogue().fashion[360, unreleased].max() == 0


def test_ratings_have_the_chances_that_the_rules_state() -> None:
    """Seen on store-led users: what is of another store did not follow the kind."""
    for liked in (True, False):
        chances = [RULES.rating_chance(rating, liked=liked) for rating in (None, 1.0, 2.0, 3.0, 4.0, 5.0)]
        assert sum(chances) == pytest.approx(1)
    events = store().interactions.join(store().truth.users, on="user_id").join(store().items, on="item_id")
    other = events.filter((pl.col("kind") == "store") & (pl.col("store") != pl.col("store_right")))["rating"]
    liked_share = RULES.rating_chance(5.0, liked=True) - RULES.rating_chance(5.0, liked=False)
    assert (other == 5).sum() / len(other) == pytest.approx(RULES.rating_chance(5.0, liked=False), abs=liked_share / 4)


def test_a_word_belongs_to_one_category_one_store_or_one_colour() -> None:
    homes = defaultdict(set)
    for name, parts in (CATEGORIES | PLANTED_CATEGORIES).items():
        for word in words(name, *parts):
            homes[word].add(name)
    for name in (*STORES, *COLOURS):
        for word in words(name):
            homes[word].add(name)
    assert {word: sorted(names) for word, names in homes.items() if len(names) > 1} == {}


def test_no_two_items_of_a_community_share_a_word_but_those_of_one_console() -> None:
    texts = catalogue().table.select("title", "category", "store", "description").rows()
    assert len(catalogue().communities) == 20
    assert min(len(order) for order in catalogue().communities) >= 10
    for index, order in enumerate(catalogue().communities):
        consoles = [item for item in order if texts[item][1] in PLANTED_CATEGORIES]
        assert len(consoles) == (8 if index == PLANTED_COMMUNITY else 0)
        for one, two in combinations(order, 2):
            one_console = one in consoles and texts[one][1] == texts[two][1]
            assert bool(words(*texts[one]) & words(*texts[two])) == one_console


def test_the_planted_case_is_a_game_after_accessories_without_a_word_in_common() -> None:
    simulated = store()
    texts = dict(simulated.items.select("item_id", pl.concat_list("title", "category", "store")).rows())
    kinds = simulated.truth.users.filter(pl.col("community") == PLANTED_COMMUNITY)["user_id"].to_list()
    late = simulated.interactions["timestamp"].quantile(0.9)
    assert (simulated.truth.planted_case["timestamp"] > late).sum() >= 1  # some of them are test samples
    for user, item, timestamp, accessories in simulated.truth.planted_case.iter_rows():
        events = simulated.interactions.filter(pl.col("user_id") == user)
        assert user in kinds
        assert events.filter(pl.col("timestamp") == timestamp)["item_id"].to_list() == [item]
        before = events.filter(pl.col("timestamp") < timestamp)["item_id"].to_list()
        assert texts[item][1] == GAMES
        assert len(accessories) > 1
        assert accessories == [past for past in before if texts[past][1] == ACCESSORIES]
        assert not words(*texts[item]) & words(*(text for past in before for text in texts[past]))


def test_complements_are_taken_by_the_same_users_and_share_no_word() -> None:
    simulated = store()
    takers = dict(simulated.interactions.group_by("item_id").agg("user_id").rows())
    together = [
        len(set(takers[one]) & set(takers[two])) / min(len(takers[one]), len(takers[two]))
        for one, two in simulated.truth.complements.rows()
        if one in takers and two in takers
    ]
    pairs = simulated.items["item_id"].sample(len(together), with_replacement=True, seed=0).to_list()
    strangers = [
        len(set(takers[one]) & set(takers[two])) / min(len(takers[one]), len(takers[two]))
        for one, two in pairwise(pairs)
        if one != two
    ]
    assert np.mean(together) > 5 * np.mean(strangers)


def test_a_request_names_its_item_in_words_and_asks_for_nothing_that_the_user_has() -> None:
    simulated = store()
    known = simulated.items.join(simulated.truth.items, on="item_id")
    described = {row["item_id"]: row for row in known.to_dicts()}
    taken = dict(simulated.interactions.group_by("user_id").agg("item_id").rows())
    assert len(simulated.truth.requests) == 100
    for user, timestamp, request, item in simulated.truth.requests.rows():
        row = described[item]
        fits = [
            other for other in described if all(word in words(*_texts(described[other])) for word in _named(request))
        ]
        assert item in fits
        assert len(fits) < 40
        assert item not in taken[user]
        assert timestamp == FIRST + 720 * DAY
        assert row["release_day"] <= 720


def _texts(row: dict[str, object]) -> list[str]:
    return [str(row[name]) for name in ("title", "category", "store")]


def _named(request: str) -> set[str]:
    """The words of a request that stand for an item: those that begin with a capital."""
    return words(*re.findall(r"[A-Z][\w-]*", request))


class Judge:
    """Ranks the target of every late interaction among 19 even negatives, by simple evidence from before it."""

    def __init__(self, tables: SimulatedStore) -> None:
        position = {name: index for index, name in enumerate(tables.items["item_id"])}
        events = tables.interactions.join(tables.truth.users, on="user_id").sort("timestamp")
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
