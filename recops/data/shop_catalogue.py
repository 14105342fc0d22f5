"""The simulated store's items: what they are called, what they cost, when they appear and who takes them in order.

I items, of which those of the first days come first and each week's new ones after them.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.config.raw_data import SimulatedStoreConfig
from recops.data.shop_communities import PLANTED_COMMUNITY, deal_communities, planted_items
from recops.data.shop_fashion import Waves, fashion_shares, first_waves, revived_per_week, week_waves
from recops.data.shop_words import CATEGORIES, COLOURS, PLANTED_CATEGORIES, STORES
from recops.seeds import sub_seed

RELEASED_BEFORE_START = 0.7
"""Share of the first items that are on sale on the first day; the others appear later, evenly."""
NO_PRICE, NO_DESCRIPTION = 0.06, 0.1

_RELEASED_UNTIL = 0.95  # the last of the first items appears after this share of the first days
_WORDS = CATEGORIES | PLANTED_CATEGORIES
_NAMES = tuple(_WORDS)

Codes = NDArray[np.int64]


@dataclass(frozen=True)
class Catalogue:
    """Items of the store, by position 0 to I - 1.

    Attributes:
        table: `item_id`, `title`, `category`, `store`, `price`, `average_rating`, `description`.
        words: `noun`, `qualifier`, `use` and `colour` in each title.
        category, noun, store: int64 (I,), equal where an item's category, noun (within its category), store is.
        release_day: float64 (I,), first day on which the item can be taken.
        waves: what the fashion is made of.
        fashion: float64 (days, I), share of each item in a day's fashionable choices.
        communities: the items of each community in the order in which it takes them; the first is the planted case.
    """

    table: pl.DataFrame
    words: pl.DataFrame
    category: Codes
    noun: Codes
    store: Codes
    release_day: NDArray[np.float64]
    waves: Waves
    fashion: NDArray[np.float64]
    communities: tuple[Codes, ...]


@dataclass(frozen=True)
class _Draw:
    """What items are made of, each (I,)."""

    category: Codes
    store: Codes
    noun: Codes
    qualifier: Codes
    use: Codes
    colour: Codes
    release_day: NDArray[np.float64]
    price: NDArray[np.float64]
    described: NDArray[np.bool_]
    average_rating: NDArray[np.float64]

    def joined(self, later: "_Draw") -> "_Draw":
        mine, others = vars(self), vars(later)
        return _Draw(**{name: np.concatenate([mine[name], others[name]]) for name in mine})


def build_catalogue(config: SimulatedStoreConfig, seed: int) -> Catalogue:
    """Return the catalogue of a store after its last week; without that week it has the same items but the newest."""
    generator = np.random.default_rng(sub_seed(seed, "simulated_store", "catalogue"))
    level = generator.normal(3.2, 0.5, len(CATEGORIES))  # log of a typical price per category
    items = _first_items(config, level, generator)
    waves = first_waves(items.release_day, config.num_days, generator)
    communities = deal_communities(items.category, items.store, items.colour, generator)
    for week in range(config.weeks):
        own = np.random.default_rng(sub_seed(seed, "simulated_store", "catalogue", "week", week + 1))
        first_day, known = config.num_days + 7 * week, len(items.category)
        new = _new_items(config, first_day, level, own)
        revived = revived_per_week(config.num_items, config.num_days)
        positions = np.arange(known, known + len(new.category))
        items = items.joined(new)
        waves = waves.joined(week_waves(first_day, positions, new.release_day, num_revived=revived, generator=own))
    items = _with_planted_case(items, communities[PLANTED_COMMUNITY])
    words = _words(items)
    return Catalogue(
        table=_table(items, words),
        words=words,
        category=items.category,
        noun=items.noun,
        store=items.store,
        release_day=items.release_day,
        waves=waves,
        fashion=fashion_shares(waves, items.release_day, config.num_days + 7 * config.weeks),
        communities=communities,
    )


def _first_items(config: SimulatedStoreConfig, level: NDArray[np.float64], generator: np.random.Generator) -> _Draw:
    size = config.num_items
    category = generator.permutation(np.arange(size) % len(CATEGORIES))
    store = generator.permutation(np.arange(size) % len(STORES))
    early = generator.permutation(size) < RELEASED_BEFORE_START * size
    release_day = np.where(early, 0.0, generator.uniform(0, config.num_days * _RELEASED_UNTIL, size))
    return _drawn(category, store, release_day, level, generator)


def _new_items(
    config: SimulatedStoreConfig, first_day: int, level: NDArray[np.float64], generator: np.random.Generator
) -> _Draw:
    """A week's new items: as many as a week of the first days brings, at least one."""
    per_day = (1 - RELEASED_BEFORE_START) * config.num_items / (_RELEASED_UNTIL * config.num_days)
    size = max(1, round(7 * per_day))
    category, store = (generator.integers(0, len(names), size) for names in (CATEGORIES, STORES))
    return _drawn(category, store, np.sort(generator.uniform(first_day, first_day + 7, size)), level, generator)


def _drawn(
    category: Codes,
    store: Codes,
    release_day: NDArray[np.float64],
    level: NDArray[np.float64],
    generator: np.random.Generator,
) -> _Draw:
    size = len(category)
    noun, qualifier, use, colour = (generator.integers(0, choices, size) for choices in (6, 5, 5, len(COLOURS)))
    price = np.round(np.exp(level[category] + generator.normal(0, 0.5, size)), 0) + 0.99
    return _Draw(
        category=category,
        store=store,
        noun=noun,
        qualifier=qualifier,
        use=use,
        colour=colour,
        release_day=release_day,
        price=np.where(generator.random(size) < NO_PRICE, np.nan, price),
        described=generator.random(size) >= NO_DESCRIPTION,
        average_rating=np.clip(generator.normal(4.2, 0.35, size), 1, 5).round(1),
    )


def _with_planted_case(items: _Draw, community: Codes) -> _Draw:
    """Rename the first items of a community, in its order: accessories of one console, then games for another."""
    columns = {name: getattr(items, name).copy() for name in ("category", "noun", "qualifier", "use")}
    for position, (category, noun) in zip(community, planted_items(), strict=False):
        columns["category"][position], columns["noun"][position] = _NAMES.index(category), noun
        columns["qualifier"][position] = columns["use"][position] = 0
    return _Draw(**{**vars(items), **columns})


def _words(items: _Draw) -> pl.DataFrame:
    names = [_WORDS[_NAMES[category]] for category in items.category]
    codes = {"noun": items.noun, "qualifier": items.qualifier, "use": items.use}
    words = {
        part: [name[index].split()[code] for name, code in zip(names, own, strict=True)]
        for index, (part, own) in enumerate(codes.items())
    }
    return pl.DataFrame({**words, "colour": [COLOURS[code] for code in items.colour]})


def _table(items: _Draw, words: pl.DataFrame) -> pl.DataFrame:
    """The catalogue as its customers see it. Descriptions hold words of the category only: no word ties two of them."""
    stores = pl.Series("store", [STORES[code] for code in items.store])
    ids = pl.Series("item_id", [f"I{number:05d}" for number in range(1, len(stores) + 1)])
    described = pl.when(pl.Series(items.described)).then(pl.format("{} {}: {}.", "qualifier", "noun", "use"))
    return words.select(
        ids,
        pl.format("{} {} {}, {}, {}", stores, "qualifier", "noun", "use", "colour").alias("title"),
        pl.Series("category", [_NAMES[code] for code in items.category]),
        stores,
        pl.Series("price", items.price, dtype=pl.Float32).fill_nan(None),
        pl.Series("average_rating", items.average_rating, dtype=pl.Float32),
        described.alias("description"),
    )
