"""A seeded store whose users have planted kinds; docs/simulated_store.md tells how its users choose.

What no single tool can see: content-led and store-led users are found by words, community-led ones only by what others
took in the same order, popularity-led ones only by what was taken lately.
"""

from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.config.raw_data import SimulatedStoreConfig
from recops.data.shop_catalogue import Catalogue, build_catalogue
from recops.seeds import sub_seed

Kind = Literal["content", "community", "popularity", "store"]
KINDS: tuple[Kind, ...] = get_args(Kind)
KIND_SHARES = (0.28, 0.3, 0.26, 0.16)

FOLLOWS_KIND = 0.78
"""Chance that a choice is made as the user's kind makes it; else any item on sale, evenly."""
SAME_NOUN = 0.5
"""Chance that a content-led choice names the very thing of a recent item, not only its category."""
NEXT_IN_ORDER = 0.6
"""Chance that a community-led choice is the next of the community's order, not any of its items."""
RECENT_ITEMS = 3
NO_RATING = 0.03
FIRST_DAY_MILLISECONDS = 1_577_836_800_000  # 2020-01-01
DAY_MILLISECONDS = 86_400_000


@dataclass(frozen=True)
class SimulatedStore:
    """Tables as docs/artefacts.md lists them for `raw_data`."""

    interactions: pl.DataFrame
    items: pl.DataFrame
    truth: pl.DataFrame


def simulate(config: SimulatedStoreConfig, seed: int) -> SimulatedStore:
    """Return a store of `num_users` users and `num_items` items; equal settings and seeds give equal tables."""
    catalogue = build_catalogue(
        config.num_items, config.num_days, np.random.default_rng(sub_seed(seed, "simulated_store", "catalogue"))
    )
    generator = np.random.default_rng(sub_seed(seed, "simulated_store", "users"))
    shoppers = [_Shopper(catalogue, generator) for _ in range(config.num_users)]
    rows = [(number, *event) for number, shopper in enumerate(shoppers) for event in shopper.shop(config, generator)]
    user_ids = [f"U{number:06d}" for number in range(1, config.num_users + 1)]
    return SimulatedStore(
        interactions=_interactions(rows, user_ids, catalogue),
        items=catalogue.table.with_row_index("row", offset=1).with_columns(pl.col("row").cast(pl.Int64)),
        truth=pl.DataFrame({"user_id": user_ids, "kind": [shopper.kind for shopper in shoppers]}),
    )


class _Shopper:
    """One user: a kind, what it is led by, and how it chooses the next item."""

    def __init__(self, catalogue: Catalogue, generator: np.random.Generator) -> None:
        self.kind: Kind = KINDS[int(generator.choice(len(KINDS), p=KIND_SHARES))]
        self._catalogue = catalogue
        self._store = int(catalogue.store[generator.integers(len(catalogue.store))])
        self._community = catalogue.communities[generator.integers(len(catalogue.communities))]
        self._step = int(generator.integers(len(self._community)))
        self._taken: list[int] = []

    def shop(self, config: SimulatedStoreConfig, generator: np.random.Generator) -> list[tuple[int, int, float | None]]:
        """Return (item position, time, rating) of every choice, oldest first."""
        events: list[tuple[int, int, float | None]] = []
        for day in _days(config, generator):
            led = bool(generator.random() < FOLLOWS_KIND)
            wanted = self._wanted(day, generator) if led else None
            item = self._any_item(day, generator) if wanted is None else wanted
            if item is None:
                continue
            self._taken.append(item)
            time = FIRST_DAY_MILLISECONDS + int(day * DAY_MILLISECONDS)
            events.append((item, time, _rating(generator, liked=wanted is not None)))
        return events

    def _wanted(self, day: float, generator: np.random.Generator) -> int | None:
        """Choose as the kind does; None where it finds nothing that is on sale and new to the user."""
        match self.kind:
            case "popularity":
                return self._fashionable(day, generator)
            case "community":
                return self._next_of_community(day, generator)
            case "store":
                return self._pick(self._catalogue.store == self._store, day, generator)
            case "content":
                return self._alike(day, generator)

    def _fashionable(self, day: float, generator: np.random.Generator) -> int | None:
        shares = self._catalogue.fashion[int(day)]
        for draw in generator.random(10):
            item = int(np.searchsorted(shares, draw, side="right"))
            if item not in self._taken:
                return item
        return None

    def _next_of_community(self, day: float, generator: np.random.Generator) -> int | None:
        order = self._community
        if generator.random() >= NEXT_IN_ORDER:
            self._step = int(generator.integers(len(order)))
        for _ in range(len(order)):
            self._step = (self._step + 1) % len(order)
            item = int(order[self._step])
            if item not in self._taken and self._catalogue.release_day[item] <= day:
                return item
        return None

    def _alike(self, day: float, generator: np.random.Generator) -> int | None:
        if not self._taken:
            return self._any_item(day, generator)
        recent = self._taken[-RECENT_ITEMS:]
        like = recent[int(generator.integers(len(recent)))]
        catalogue = self._catalogue
        category = catalogue.category == catalogue.category[like]
        noun = category & (catalogue.noun == catalogue.noun[like])
        named = self._pick(noun, day, generator) if generator.random() < SAME_NOUN else None
        return self._pick(category, day, generator) if named is None else named

    def _any_item(self, day: float, generator: np.random.Generator) -> int | None:
        return self._pick(np.ones(len(self._catalogue.store), dtype=np.bool_), day, generator)

    def _pick(self, wanted: NDArray[np.bool_], day: float, generator: np.random.Generator) -> int | None:
        """Draw evenly from the wanted items that are on sale and new to the user."""
        free = wanted & (self._catalogue.release_day <= day)
        free[self._taken] = False
        choices = np.flatnonzero(free)
        return int(choices[generator.integers(len(choices))]) if len(choices) else None


def _days(config: SimulatedStoreConfig, generator: np.random.Generator) -> NDArray[np.float64]:
    """Days on which one user takes something, ascending, in [0, num_days): a window that opens at any time."""
    count = 3 + int(generator.poisson(config.interactions_per_user - 3))
    opens = generator.uniform(-0.2, 0.9) * config.num_days
    closes = opens + generator.uniform(0.2, 0.6) * config.num_days
    days = generator.uniform(max(opens, 0.0), min(closes, config.num_days), count)
    return np.sort(days)


def _rating(generator: np.random.Generator, *, liked: bool) -> float | None:
    stars = float(np.clip(np.rint(generator.normal(4.5 if liked else 3.7, 0.9)), 1, 5))
    return None if generator.random() < NO_RATING else stars


def _interactions(
    rows: list[tuple[int, int, int, float | None]], user_ids: list[str], catalogue: Catalogue
) -> pl.DataFrame:
    users, items, times, ratings = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "user_id": pl.Series([user_ids[user] for user in users], dtype=pl.String),
            "item_id": catalogue.table["item_id"].gather(list(items)),
            "timestamp": pl.Series(times, dtype=pl.Int64),
            "rating": pl.Series(ratings, dtype=pl.Float32),
            "row": pl.int_range(1, len(rows) + 1, dtype=pl.Int64, eager=True),
        }
    )
