"""A seeded store whose users have planted kinds; docs/simulated_store.md tells how its users choose.

What no single tool can see: content-led and store-led users are found by words, community-led ones only by what others
took in the same order, popularity-led ones only by what was taken lately. After its first days the store goes on week
by week: each adds rows, and changes none.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from recops.config.raw_data import SimulatedStoreConfig
from recops.data.shop_catalogue import Catalogue, build_catalogue
from recops.data.shop_extras import complements, planted_case, requests
from recops.data.shop_rules import RULES
from recops.data.shop_truth import ShopTruth, communities_table, items_table, users_table, waves_table
from recops.data.shopper import Shopper, user_id
from recops.seeds import sub_seed

_ARRIVALS_SPREAD = 1.1  # the windows of the first users open within this share of the first days

_Row = tuple[int, int, int, float | None]  # user, item, time, rating


@dataclass(frozen=True)
class SimulatedStore:
    """Tables as docs/artefacts.md lists them for `raw_data`."""

    interactions: pl.DataFrame
    items: pl.DataFrame
    truth: ShopTruth


def simulate(config: SimulatedStoreConfig, seed: int) -> SimulatedStore:
    """Return a store of `num_users` users and `num_items` items, grown by `weeks` weeks.

    Equal settings and seeds give equal tables, and a store of more weeks begins with the rows of one of fewer.
    """
    catalogue = build_catalogue(config, seed)
    generator = np.random.default_rng(sub_seed(seed, "simulated_store", "users"))
    shoppers = [Shopper(catalogue, RULES, generator) for _ in range(config.num_users)]
    rows: list[_Row] = []
    for number, shopper in enumerate(shoppers):
        rows += [(number, *choice) for choice in shopper.first_days(config, generator)]
    for week in range(1, config.weeks + 1):
        own = np.random.default_rng(sub_seed(seed, "simulated_store", "users", "week", week))
        shoppers += _arrivals(week, catalogue, config, own)
        rows += _week(week, shoppers, config, own)
    interactions = _interactions(rows, catalogue)
    return SimulatedStore(
        interactions=interactions,
        items=catalogue.table.with_row_index("row", offset=1).with_columns(pl.col("row").cast(pl.Int64)),
        truth=_truth(interactions, shoppers, catalogue, config, seed),
    )


def _arrivals(
    week: int, catalogue: Catalogue, config: SimulatedStoreConfig, generator: np.random.Generator
) -> list[Shopper]:
    """Return a week's new users: as many as a week of the first days brings, at least one."""
    count = max(1, round(7 * config.num_users / (_ARRIVALS_SPREAD * config.num_days)))
    shoppers = [Shopper(catalogue, RULES, generator) for _ in range(count)]
    for shopper in shoppers:
        shopper.arrive(_first_day(week, config), config, generator)
    return shoppers


def _week(
    week: int, shoppers: list[Shopper], config: SimulatedStoreConfig, generator: np.random.Generator
) -> list[_Row]:
    """Return the rows of a week, oldest first."""
    rows = [
        (number, *choice)
        for number, shopper in enumerate(shoppers)
        for choice in shopper.week(_first_day(week, config), config, generator)
    ]
    return sorted(rows, key=lambda row: (row[2], row[0]))


def _first_day(week: int, config: SimulatedStoreConfig) -> int:
    return config.num_days + 7 * (week - 1)


def _interactions(rows: list[_Row], catalogue: Catalogue) -> pl.DataFrame:
    users, items, times, ratings = zip(*rows, strict=True)
    return pl.DataFrame(
        {
            "user_id": pl.Series([user_id(user) for user in users], dtype=pl.String),
            "item_id": catalogue.table["item_id"].gather(list(items)),
            "timestamp": pl.Series(times, dtype=pl.Int64),
            "rating": pl.Series(ratings, dtype=pl.Float32),
            "row": pl.int_range(1, len(rows) + 1, dtype=pl.Int64, eager=True),
        }
    )


def _truth(
    interactions: pl.DataFrame, shoppers: list[Shopper], catalogue: Catalogue, config: SimulatedStoreConfig, seed: int
) -> ShopTruth:
    users = users_table(shoppers)
    return ShopTruth(
        users=users,
        items=items_table(catalogue),
        waves=waves_table(catalogue),
        communities=communities_table(catalogue),
        planted_case=planted_case(interactions, users, catalogue),
        complements=complements(catalogue),
        requests=requests(
            interactions,
            catalogue,
            num_users=config.num_users,
            day=config.num_days,
            generator=np.random.default_rng(sub_seed(seed, "simulated_store", "requests")),
        ),
        rules=RULES,
    )
