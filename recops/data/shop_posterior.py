"""What can be known of a simulated user: by Bayes, from its choices so far, what it is led by and what it takes next.

Exact: every kind, every store, and every community with every place in its order is a hypothesis, and each choice
multiplies each hypothesis by the chance that it gives to the item and to its rating. Shape suffixes: I items, G stores,
L places of a community's order.
"""

from dataclasses import dataclass

import numpy as np

from recops.data.shop_choices import (
    Chances,
    Mask,
    content_chances,
    even_chances,
    free_items,
    order_chances,
    popularity_chances,
)
from recops.data.shop_rules import KINDS, Kind
from recops.data.shop_truth import Shop
from recops.data.shop_words import STORES


@dataclass(frozen=True)
class Prediction:
    """Chances of the next choice, at one moment.

    Attributes:
        kinds: chance of each kind, given the choices so far.
        given_kind: chances of the items if the user is of a kind, (I,) each; what else is hidden stays unknown.
    """

    kinds: dict[Kind, float]
    given_kind: dict[Kind, Chances]

    @property
    def chances(self) -> Chances:
        """Chances of the items, with the kind unknown: (I,)."""
        return np.asarray(sum(self.kinds[kind] * self.given_kind[kind] for kind in KINDS), dtype=np.float64)


class Posterior:
    """One user's hypotheses, each with its chance given the choices so far: all together sum to 1."""

    def __init__(self, shop: Shop) -> None:
        self._catalogue, self._rules = shop.catalogue, shop.rules
        prior = dict(zip(KINDS, shop.rules.kind_shares, strict=True))
        self._content, self._popularity = prior["content"], prior["popularity"]
        self._stores_G: Chances = np.full(len(STORES), prior["store"] / len(STORES))
        orders = self._catalogue.communities
        shares = prior["community"] * shop.rules.community_shares(len(orders))
        self._communities_L = [
            np.full(len(order), share / len(order)) for order, share in zip(orders, shares, strict=True)
        ]
        self._taken: list[int] = []

    @property
    def kinds(self) -> dict[Kind, float]:
        """Chance of each kind."""
        community = float(sum(steps.sum() for steps in self._communities_L))
        sums = {"content": self._content, "popularity": self._popularity, "store": float(self._stores_G.sum())}
        return {kind: sums.get(kind, community) for kind in KINDS}

    def predict(self, day: float) -> Prediction:
        """Return the chances of what is taken on a day, given everything that was taken before."""
        free = free_items(self._catalogue, self._taken, day)
        kinds, led = self.kinds, self._led(day, free)
        given = {kind: self._mixed(led[kind] / max(kinds[kind], 1e-300), free) for kind in KINDS}
        return Prediction(kinds, given)

    def observe(self, item: int, day: float, rating: float | None) -> None:
        """Take one more choice into account.

        Raises:
            ValueError: no hypothesis allows the choice: the item is not on sale, or was taken before.
        """
        free = free_items(self._catalogue, self._taken, day)
        if not free[item]:
            raise ValueError(
                f"item {item} on day {day:.3f}: not on sale or taken before; the truth is of another store"
            )
        liked, other = (self._rules.rating_chance(rating, liked=side) for side in (True, False))
        led, rest = self._rules.follows_kind * liked, other / free.sum()
        self._content *= self._factor(content_chances(self._catalogue, self._rules, self._taken, free), item, led, rest)
        popular = popularity_chances(self._catalogue, self._rules, self._taken, day)
        self._popularity *= self._factor(popular, item, led, rest)
        self._observe_store(item, free, led, rest)
        self._observe_communities(item, free, led, rest)
        self._taken.append(item)
        self._normalise()

    def _led(self, day: float, free: Mask) -> dict[Kind, Chances]:
        """Chances that the user is of a kind, follows it and finds an item: (I,) per kind."""
        catalogue, rules = self._catalogue, self._rules
        in_store_G = np.bincount(catalogue.store[free], minlength=len(STORES))
        store = np.where(free, (self._stores_G / np.maximum(in_store_G, 1))[catalogue.store], 0.0)
        community = np.zeros(len(free))
        for order, steps_L in zip(catalogue.communities, self._communities_L, strict=True):
            community[order] += order_chances(rules, steps_L, free[order])
        return {
            "content": self._content * content_chances(catalogue, rules, self._taken, free),
            "community": community,
            "popularity": self._popularity * popularity_chances(catalogue, rules, self._taken, day),
            "store": store,
        }

    def _mixed(self, wanted: Chances, free: Mask) -> Chances:
        """Chances of items where a user follows its kind or not; who finds nothing takes any free item, evenly."""
        follows = self._rules.follows_kind
        chances: Chances = follows * wanted + (1 - follows * wanted.sum()) * even_chances(free)
        return chances

    def _factor(self, wanted: Chances, item: int, led: float, rest: float) -> float:
        """Chance of a choice and its rating, by a hypothesis under which the kind chooses by `wanted`."""
        return float(led * wanted[item] + (1 - self._rules.follows_kind * wanted.sum()) * rest)

    def _observe_store(self, item: int, free: Mask, led: float, rest: float) -> None:
        store = self._catalogue.store
        in_store_G = np.bincount(store[free], minlength=len(STORES))
        factor_G = np.where(in_store_G > 0, 1 - self._rules.follows_kind, 1.0) * rest
        factor_G[store[item]] += led / in_store_G[store[item]]
        self._stores_G = self._stores_G * factor_G

    def _observe_communities(self, item: int, free: Mask, led: float, rest: float) -> None:
        """A choice that follows the order moves the step to its place; any other leaves the step where it was."""
        for index, order in enumerate(self._catalogue.communities):
            steps_L = self._communities_L[index]
            wanted_L = order_chances(self._rules, steps_L, free[order])
            found = 1.0 if free[order].any() else 0.0
            stays_L = steps_L * (1 - self._rules.follows_kind * found) * rest
            self._communities_L[index] = stays_L + np.where(order == item, led * wanted_L, 0.0)

    def _normalise(self) -> None:
        total = sum(self.kinds.values())
        self._content, self._popularity = self._content / total, self._popularity / total
        self._stores_G = self._stores_G / total
        self._communities_L = [steps_L / total for steps_L in self._communities_L]
