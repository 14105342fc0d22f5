"""How the simulated store's users choose, in numbers: the generator draws by them, the oracle reads them back."""

import math
from dataclasses import dataclass
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recops.data.shop_communities import PLANTED_COMMUNITY

Kind = Literal["content", "community", "popularity", "store"]
KINDS: tuple[Kind, ...] = get_args(Kind)

FIRST_DAY_MILLISECONDS = 1_577_836_800_000  # 2020-01-01
DAY_MILLISECONDS = 86_400_000


@dataclass(frozen=True)
class ShopRules:
    """The parameters that hold for every user.

    Attributes:
        kind_shares: chance of each of `KINDS`.
        planted_weight: how often the first community is drawn for each time that another one is.
        follows_kind: chance that a choice is made as the user's kind makes it; else any item on sale, evenly.
        same_noun: chance that a content-led choice names the very thing of a recent item, not only its category.
        next_in_order: chance that a community-led choice goes on from the last one, not from any place of the order.
        recent_items: how many of the last items a content-led choice looks at.
        fashion_draws: how often a popularity-led choice is drawn again when the user has the item.
        liked_stars, other_stars, stars_deviation: rating where a choice followed the kind, and where it did not.
        no_rating: share of ratings that are absent.
    """

    kind_shares: tuple[float, ...] = (0.28, 0.25, 0.3, 0.17)
    planted_weight: float = 2.0
    follows_kind: float = 0.78
    same_noun: float = 0.5
    next_in_order: float = 0.6
    recent_items: int = 3
    fashion_draws: int = 10
    liked_stars: float = 4.5
    other_stars: float = 3.7
    stars_deviation: float = 0.9
    no_rating: float = 0.03

    def community_shares(self, num_communities: int) -> NDArray[np.float64]:
        """Return the chance of each community of a community-led user, shape (num_communities,)."""
        weights = np.ones(num_communities)
        weights[PLANTED_COMMUNITY] = self.planted_weight
        return np.asarray(weights / weights.sum(), dtype=np.float64)

    def rating_chance(self, rating: float | None, *, liked: bool) -> float:
        """Return the chance of a rating: a normal draw, rounded and cut to 1 to 5 stars, or none."""
        if rating is None:
            return self.no_rating
        mean = self.liked_stars if liked else self.other_stars
        below = 0.0 if rating <= 1 else _normal_below((rating - 0.5 - mean) / self.stars_deviation)
        above = 1.0 if rating >= 5 else _normal_below((rating + 0.5 - mean) / self.stars_deviation)
        return (1 - self.no_rating) * (above - below)


RULES = ShopRules()
"""The rules of every simulated store."""


def milliseconds_of(day: float) -> int:
    """Return the time of a day since the store opened, in milliseconds since 1970 (UTC)."""
    return FIRST_DAY_MILLISECONDS + int(day * DAY_MILLISECONDS)


def day_of(milliseconds: int) -> float:
    """Return the day since the store opened."""
    return (milliseconds - FIRST_DAY_MILLISECONDS) / DAY_MILLISECONDS


def _normal_below(deviations: float) -> float:
    return 0.5 * math.erfc(-deviations / math.sqrt(2))
