"""One user of the simulated store: a planted kind, what it is led by, and what it takes when."""

import numpy as np
from numpy.typing import NDArray

from recops.config.raw_data import SimulatedStoreConfig
from recops.data.shop_catalogue import Catalogue
from recops.data.shop_choices import (
    Chances,
    Mask,
    content_chances,
    free_items,
    order_chances,
    popularity_chances,
    store_chances,
)
from recops.data.shop_rules import KINDS, Kind, ShopRules, day_of, milliseconds_of
from recops.data.shop_words import STORES

_SHORTEST, _LONGEST = 0.2, 0.6  # window of a user, as a share of the store's first days

Choice = tuple[int, int, float | None]
"""Position of the item, time in milliseconds, rating."""


class Shopper:
    """A user, with what it has taken so far.

    Attributes:
        kind: what its choices are led by.
        store: the store of a store-led user, `community` and `first_step` those of a community-led one; drawn for all.
        opens, closes: the days between which it takes something.
    """

    def __init__(self, catalogue: Catalogue, rules: ShopRules, generator: np.random.Generator) -> None:
        self.kind: Kind = KINDS[int(generator.choice(len(KINDS), p=rules.kind_shares))]
        self.store = int(generator.integers(len(STORES)))
        shares = rules.community_shares(len(catalogue.communities))
        self.community = int(generator.choice(len(shares), p=shares))
        self.first_step = int(generator.integers(len(catalogue.communities[self.community])))
        self.opens, self.closes = 0.0, 0.0
        self._catalogue, self._rules = catalogue, rules
        self._step = self.first_step
        self._taken: list[int] = []

    def first_days(self, config: SimulatedStoreConfig, generator: np.random.Generator) -> list[Choice]:
        """Take something within the store's first days, in a window that opens at any time."""
        count = 3 + int(generator.poisson(config.interactions_per_user - 3))
        self._open(generator.uniform(-0.2, 0.9) * config.num_days, config, generator)
        days = generator.uniform(max(self.opens, 0.0), min(self.closes, config.num_days), count)
        return self.shop(np.sort(days), generator)

    def week(self, first_day: float, config: SimulatedStoreConfig, generator: np.random.Generator) -> list[Choice]:
        """Take something within a later week, as often as a user does whose window holds `interactions_per_user`."""
        opens, closes = max(self.opens, first_day), min(self.closes, first_day + 7)
        if opens >= closes:
            return []
        rate = config.interactions_per_user / ((_SHORTEST + _LONGEST) / 2 * config.num_days)
        days = generator.uniform(opens, closes, int(generator.poisson(rate * (closes - opens))))
        # A new user is one that takes something as soon as its window opens.
        arrival = [self.opens] if self.opens >= first_day else []
        return self.shop(np.sort(np.append(arrival, days)), generator)

    def arrive(self, first_day: float, config: SimulatedStoreConfig, generator: np.random.Generator) -> None:
        """Open the window on some day of a later week."""
        self._open(generator.uniform(first_day, first_day + 7), config, generator)

    def shop(self, days: NDArray[np.float64], generator: np.random.Generator) -> list[Choice]:
        """Choose something on each of the days, ascending; nothing where everything on sale has been taken."""
        choices = []
        for day in days:
            time = milliseconds_of(day)
            choice = self._choose(day_of(time), generator)
            if choice is not None:
                choices.append((choice[0], time, choice[1]))
        return choices

    def _open(self, day: float, config: SimulatedStoreConfig, generator: np.random.Generator) -> None:
        self.opens = day
        self.closes = day + generator.uniform(_SHORTEST, _LONGEST) * config.num_days

    def _choose(self, day: float, generator: np.random.Generator) -> tuple[int, float | None] | None:
        """Return an item and its rating; None where everything on sale has been taken."""
        free = free_items(self._catalogue, self._taken, day)
        if not free.any():
            return None
        led = bool(generator.random() < self._rules.follows_kind)
        wanted = _draw(self._chances(day, free), generator) if led else None
        item = int(generator.choice(np.flatnonzero(free))) if wanted is None else wanted
        if wanted is not None and self.kind == "community":
            self._step = int(np.flatnonzero(self._catalogue.communities[self.community] == item)[0])
        self._taken.append(item)
        return item, _rating(self._rules, generator, liked=wanted is not None)

    def _chances(self, day: float, free: Mask) -> Chances:
        catalogue, rules = self._catalogue, self._rules
        match self.kind:
            case "popularity":
                return popularity_chances(catalogue, rules, self._taken, day)
            case "community":
                return self._community_chances(free)
            case "store":
                return store_chances(catalogue, self.store, free)
            case "content":
                return content_chances(catalogue, rules, self._taken, free)

    def _community_chances(self, free: Mask) -> Chances:
        order = self._catalogue.communities[self.community]
        steps = np.zeros(len(order))
        steps[self._step] = 1.0
        chances = np.zeros(len(free))
        chances[order] = order_chances(self._rules, steps, free[order])
        return chances


def user_id(number: int) -> str:
    """Return the id of the user with a 0-based number."""
    return f"U{number + 1:06d}"


def _draw(chances: Chances, generator: np.random.Generator) -> int | None:
    """Draw a position; None with the chance that is missing to 1."""
    place = int(np.searchsorted(np.cumsum(chances), generator.random(), side="right"))
    return place if place < len(chances) else None


def _rating(rules: ShopRules, generator: np.random.Generator, *, liked: bool) -> float | None:
    mean = rules.liked_stars if liked else rules.other_stars
    stars = float(np.clip(np.rint(generator.normal(mean, rules.stars_deviation)), 1, 5))
    return None if generator.random() < rules.no_rating else stars
