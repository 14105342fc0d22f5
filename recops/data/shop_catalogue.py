"""The simulated store's items: what they are called, what they cost, when they appear and when they are in fashion.

I items, D days.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.data.shop_words import CATEGORIES, COLOURS, STORES

RELEASED_BEFORE_START = 0.7
"""Share of the items that are on sale on the first day; the others appear later, evenly."""
FASHION_DAYS = 35.0
"""Standard deviation of the wave, in days, in which an item is fashionable."""
ITEMS_PER_COMMUNITY = 40
"""One planted community per so many items of the catalogue."""
NO_PRICE, NO_DESCRIPTION = 0.06, 0.1


@dataclass(frozen=True)
class Catalogue:
    """Items of the store, by position 0 to I - 1.

    Attributes:
        table: `item_id`, `title`, `category`, `store`, `price`, `average_rating`, `description`.
        category, noun, store: int64 (I,), what an item is drawn from.
        release_day: float64 (I,), first day on which the item can be taken.
        fashion: float64 (D + 1, I), cumulative share of fashionable choices per day; unreleased items have none.
        communities: the items of each community in the order in which it takes them; no two share a word.
    """

    table: pl.DataFrame
    category: NDArray[np.int64]
    noun: NDArray[np.int64]
    store: NDArray[np.int64]
    release_day: NDArray[np.float64]
    fashion: NDArray[np.float64]
    communities: tuple[NDArray[np.int64], ...]


def build_catalogue(num_items: int, num_days: int, generator: np.random.Generator) -> Catalogue:
    """Return a catalogue of `num_items` items, equal for equal generators."""
    category = generator.permutation(np.arange(num_items) % len(CATEGORIES))
    store = generator.permutation(np.arange(num_items) % len(STORES))
    noun, qualifier, use = (generator.integers(0, size, num_items) for size in (6, 5, 5))
    colour = generator.integers(0, len(COLOURS), num_items)
    words = [_words(*parts) for parts in zip(category, noun, qualifier, use, strict=True)]
    titles = [
        f"{STORES[shop]} {word[1]} {word[0]}, {word[2]}, {COLOURS[tint]}"
        for shop, word, tint in zip(store, words, colour, strict=True)
    ]
    early = generator.permutation(num_items) < RELEASED_BEFORE_START * num_items
    release_day = np.where(early, 0.0, generator.uniform(0, num_days * 0.95, num_items))
    return Catalogue(
        table=_table(titles, words, category, store, generator),
        category=category,
        noun=noun,
        store=store,
        release_day=release_day,
        fashion=_fashion(release_day, num_days, generator),
        communities=_communities(category, store, colour, generator),
    )


def _words(category: int, noun: int, qualifier: int, use: int) -> tuple[str, str, str]:
    nouns, qualifiers, uses = (part.split() for part in list(CATEGORIES.values())[category])
    return nouns[noun], qualifiers[qualifier], uses[use]


def _table(
    titles: list[str],
    words: list[tuple[str, str, str]],
    category: NDArray[np.int64],
    store: NDArray[np.int64],
    generator: np.random.Generator,
) -> pl.DataFrame:
    """The catalogue as its customers see it. Descriptions hold words of the category only: no word ties two of them."""
    num_items, names = len(titles), list(CATEGORIES)
    level = generator.normal(3.2, 0.5, len(names))  # log of a typical price per category
    price = np.round(np.exp(level[category] + generator.normal(0, 0.5, num_items)), 0) + 0.99
    price = np.where(generator.random(num_items) < NO_PRICE, np.nan, price)
    described = generator.random(num_items) >= NO_DESCRIPTION
    descriptions = [
        f"{qualifier} {noun}: {use}." if told else None
        for (noun, qualifier, use), told in zip(words, described, strict=True)
    ]
    return pl.DataFrame(
        {
            "item_id": [f"I{number:05d}" for number in range(1, num_items + 1)],
            "title": titles,
            "category": [names[index] for index in category],
            "store": [STORES[index] for index in store],
            "price": pl.Series(price, dtype=pl.Float32).fill_nan(None),
            "average_rating": pl.Series(
                np.clip(generator.normal(4.2, 0.35, num_items), 1, 5).round(1), dtype=pl.Float32
            ),
            "description": pl.Series(descriptions, dtype=pl.String),
        }
    )


def _fashion(release_day: NDArray[np.float64], num_days: int, generator: np.random.Generator) -> NDArray[np.float64]:
    """Each item has one wave, later than its release; its height is log-normal, so that a few items lead."""
    num_items = len(release_day)
    peak = release_day + generator.uniform(-0.1, 1.0, num_items) * (num_days * 1.1 - release_day)
    height = np.exp(generator.normal(0, 1.0, num_items))
    days = np.arange(num_days + 1)[:, None]  # (D, 1)
    weight = height * np.exp(-0.5 * ((days - peak) / FASHION_DAYS) ** 2) + 1e-6
    weight = np.where(days >= release_day, weight, 0.0)
    cumulative = np.cumsum(weight, axis=1)
    return np.asarray(cumulative / cumulative[:, -1:], dtype=np.float64)


def _communities(
    category: NDArray[np.int64], store: NDArray[np.int64], colour: NDArray[np.int64], generator: np.random.Generator
) -> tuple[NDArray[np.int64], ...]:
    """Deal items out to communities, one by one, wherever no word is shared; who fits nowhere stays free."""
    members: list[list[int]] = [[] for _ in range(max(2, len(category) // ITEMS_PER_COMMUNITY))]
    taken: list[set[tuple[str, int]]] = [set() for _ in members]
    for position in generator.permutation(len(category)).tolist():
        traits = {("category", int(category[position])), ("store", int(store[position]))}
        traits.add(("colour", int(colour[position])))
        fits = [index for index in range(len(members)) if not taken[index] & traits]
        if fits:
            home = min(fits, key=lambda index: len(members[index]))
            members[home].append(position)
            taken[home] |= traits
    return tuple(np.asarray(group, dtype=np.int64) for group in members)
