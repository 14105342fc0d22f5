"""The simulated store's fashion: waves in which items are popular, and what each day's choices are in proportion to.

I items, D days, W waves. Waves of a later week leave the days before it as they were.
"""

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

FASHION_DAYS = 35.0
"""Standard deviation, in days, of the wave in which an item is fashionable."""
_EVER = 1e-6  # weight of an item that no wave lifts
_NEW_ITEM_PEAK = (-10.0, 110.0)  # days from the release of a week's new item to its peak
_REVIVAL_PEAK = (70.0, 140.0)  # days from the start of a week to the peak of an older item that comes back
_SPREAD = 1.1  # the first waves peak up to this share of the store's first days

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Waves:
    """Waves, each of one item: int64 `item` (W,), and float64 `from_day`, `peak_day` and `height` (W,)."""

    item: NDArray[np.int64]
    from_day: Array
    peak_day: Array
    height: Array

    def joined(self, later: "Waves") -> "Waves":
        """Return these waves and then `later`."""
        mine, others = vars(self), vars(later)
        return Waves(**{name: np.concatenate([mine[name], others[name]]) for name in mine})


def first_waves(release_day: Array, num_days: int, generator: np.random.Generator) -> Waves:
    """Each item has one wave, later than its release; its height is log-normal, so that a few items lead."""
    num_items = len(release_day)
    peak = release_day + generator.uniform(-0.1, 1.0, num_items) * (num_days * _SPREAD - release_day)
    height = np.exp(generator.normal(0, 1.0, num_items))
    return Waves(np.arange(num_items), np.zeros(num_items), peak, height)


def week_waves(
    first_day: float,
    new_items: NDArray[np.int64],
    new_release: Array,
    *,
    num_revived: int,
    generator: np.random.Generator,
) -> Waves:
    """Return the waves that a week adds: one for each of its new items, and for `num_revived` older ones."""
    revived = generator.integers(0, new_items[0], num_revived)
    peak = np.concatenate(
        [
            new_release + generator.uniform(*_NEW_ITEM_PEAK, len(new_items)),
            first_day + generator.uniform(*_REVIVAL_PEAK, num_revived),
        ]
    )
    height = np.exp(generator.normal(0, 1.0, len(peak)))
    return Waves(np.concatenate([new_items, revived]), np.full(len(peak), first_day), peak, height)


def revived_per_week(num_items: int, num_days: int) -> int:
    """Return how many older items a week brings back, so that as many are in fashion as in the first days."""
    return max(1, round(7 * num_items / (_SPREAD * num_days)))


def fashion_shares(waves: Waves, release_day: Array, num_days: int) -> Array:
    """Return the share of each item in a day's fashionable choices, 0 before its release: float64 (D, I)."""
    days = np.arange(num_days, dtype=np.float64)
    weight = np.full((num_days, len(release_day)), _EVER)
    for item, from_day, peak, height in zip(waves.item, waves.from_day, waves.peak_day, waves.height, strict=True):
        wave = height * np.exp(-0.5 * ((days - peak) / FASHION_DAYS) ** 2)
        weight[:, item] += np.where(days >= from_day, wave, 0.0)
    weight = np.where(days[:, None] >= release_day, weight, 0.0)
    # Summed one by one: items that come later add zeros at the end, which changes no bit of the days before them.
    return np.asarray(weight / np.cumsum(weight, axis=1)[:, -1:], dtype=np.float64)
