"""How each kind of user chooses, as chances: the generator draws from them, the oracle multiplies them.

I items, L places of a community's order. `free` marks the items that are on sale and new to the user. Chances sum to at
most 1; what is missing is the chance of finding nothing, in which case any free item is taken, evenly.
"""

import numpy as np
from numpy.typing import NDArray

from recops.data.shop_catalogue import Catalogue
from recops.data.shop_rules import ShopRules

Chances = NDArray[np.float64]
Mask = NDArray[np.bool_]


def free_items(catalogue: Catalogue, taken: list[int], day: float) -> Mask:
    """Return which items are on sale on a day and not among `taken`, shape (I,)."""
    free: Mask = catalogue.release_day <= day
    free[taken] = False
    return free


def even_chances(wanted: Mask) -> Chances:
    """Return equal chances of the wanted items, shape (I,); 0 everywhere where there is none."""
    return wanted / float(max(1, wanted.sum()))


def content_chances(catalogue: Catalogue, rules: ShopRules, taken: list[int], free: Mask) -> Chances:
    """Return the chances of items like one of the last few: the very thing, or its category; of any at the start."""
    if not taken:
        return even_chances(free)
    recent = taken[-rules.recent_items :]
    chances = np.zeros(len(free))
    for like in recent:
        category = free & (catalogue.category == catalogue.category[like])
        noun = category & (catalogue.noun == catalogue.noun[like])
        named = rules.same_noun if noun.any() else 0.0
        chances += named * even_chances(noun) + (1 - named) * even_chances(category)
    return np.asarray(chances / len(recent), dtype=np.float64)


def store_chances(catalogue: Catalogue, store: int, free: Mask) -> Chances:
    """Return the chances of the free items of the user's store."""
    return even_chances(free & (catalogue.store == store))


def popularity_chances(catalogue: Catalogue, rules: ShopRules, taken: list[int], day: float) -> Chances:
    """Return the chances of items in proportion to the day's fashion, drawn again a few times where the user has it."""
    shares = catalogue.fashion[int(day)]
    again = shares[taken].sum() ** np.arange(rules.fashion_draws)
    chances: Chances = shares * again.sum()
    chances[taken] = 0.0
    return chances


def order_chances(rules: ShopRules, steps: Chances, free: Mask) -> Chances:
    """Return the chances of places of a community's order, shape (L,): the next free one after the last, or after any.

    `steps` (L,) are the chances of each place to be the last one; what they sum to, the chances sum to.
    """
    length, places = len(steps), np.flatnonzero(free)
    if not len(places):
        return np.zeros(length)
    following = places[np.searchsorted(places, np.arange(length), side="right") % len(places)]
    on = np.bincount(following, weights=steps, minlength=length)
    anywhere = np.bincount(following, minlength=length) * (steps.sum() / length)
    return np.asarray(rules.next_in_order * on + (1 - rules.next_in_order) * anywhere, dtype=np.float64)
