"""Prices in words: low, middle and high, each a third of the catalogue's prices."""

import bisect

import numpy as np
import polars as pl

BANDS = ("low", "middle", "high", "unknown")


def price_limits(prices: pl.Series) -> tuple[float, float]:
    """Return the prices that part a catalogue into three bands of equal size; zeros where nothing has a price."""
    known = prices.drop_nulls().drop_nans().to_numpy()
    low, high = np.quantile(known, [1 / 3, 2 / 3]) if len(known) else (0.0, 0.0)
    return float(low), float(high)


def price_band(price: float | None, limits: tuple[float, float]) -> str:
    """Return the band of a price, `unknown` where there is none."""
    return "unknown" if price is None else BANDS[bisect.bisect_right(limits, price)]
