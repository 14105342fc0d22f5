"""The days that a recipe takes interactions from."""

from datetime import date

import polars as pl

from recops.config.validated_splits import WindowConfig

DAY = 86_400_000
_EPOCH = date(1970, 1, 1)


def in_window(window: WindowConfig | None) -> pl.Expr:
    """Return whether a row's `timestamp`, in milliseconds, lies in the window, its last day included (UTC)."""
    if window is None:
        return pl.lit(True)
    first, last = ((day - _EPOCH).days * DAY for day in (window.first_day, window.last_day))
    return pl.col("timestamp").is_between(first, last + DAY, closed="left")
