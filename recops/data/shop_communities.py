"""The simulated store's communities: items that the same users take, in an order, and that share no word.

One of them is the planted case: accessories of one console, then games for another.
"""

import numpy as np
from numpy.typing import NDArray

from recops.data.shop_words import ACCESSORIES, GAMES, PLANTED_CATEGORIES

ITEMS_PER_COMMUNITY = 40
"""One planted community per so many items of the catalogue."""

PLANTED_COMMUNITY = 0
"""The community that takes accessories of one console and then games for another."""
PLANTED_LENGTH = 12
"""Its order is short, so that many of its users come from the accessories to a game."""

Codes = NDArray[np.int64]


def deal_communities(category: Codes, store: Codes, colour: Codes, generator: np.random.Generator) -> tuple[Codes, ...]:
    """Deal items out to communities, one by one, wherever no word is shared; who fits nowhere stays free.

    Returns:
        The positions of each community's items, in its order. A word belongs to one category, store or colour, so that
        items of different ones share none.
    """
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
    members[PLANTED_COMMUNITY] = members[PLANTED_COMMUNITY][:PLANTED_LENGTH]
    return tuple(np.asarray(group, dtype=np.int64) for group in members)


def planted_items() -> list[tuple[str, int]]:
    """Return category and noun of the planted case's items in the order in which they are taken."""
    return [
        (category, noun)
        for category in (ACCESSORIES, GAMES)
        for noun in range(len(PLANTED_CATEGORIES[category][0].split()))
    ]
