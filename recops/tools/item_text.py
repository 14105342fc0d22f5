"""Items in words: the chosen fields of an item on one line, every word of them through the sanitizer."""

import math
from collections.abc import Sequence
from functools import lru_cache

import polars as pl

from recops.config.agent import CatalogueField
from recops.tools.sanitize import Sanitizer

UNKNOWN = "unknown"

_KEPT_TEXTS = 65_536


class ItemText:
    """Fields of the items (row i of the frame is item i + 1) as clean text; the frame is shared and not copied.

    The catalogue's average rating is none of them: it is of the day on which the catalogue was read.
    """

    def __init__(self, items: pl.DataFrame, sanitizer: Sanitizer) -> None:
        self._texts = {name: items[name] for name in ("title", "category", "store")}
        self._prices = items["price"].cast(pl.Float32).fill_null(math.nan).to_numpy()
        self._clean = lru_cache(maxsize=_KEPT_TEXTS)(sanitizer.clean)

    def line(self, item: int, fields: Sequence[CatalogueField]) -> str:
        """Return the fields of an item joined by ` | `, "unknown" where one is absent."""
        return " | ".join(self.field(item, name) for name in fields)

    def field(self, item: int, name: CatalogueField) -> str:
        """Return one field of an item as text."""
        if name == "price":
            price = self.price(item)
            return UNKNOWN if price is None else f"${price:.2f}"
        value = self._texts[name][item - 1]
        return (self._clean(value) if value else "") or UNKNOWN

    def price(self, item: int) -> float | None:
        """Return the price of an item, None where it is absent."""
        value = float(self._prices[item - 1])
        return None if math.isnan(value) else value


def rating_text(mean: float) -> str:
    """Return a mean rating in words, "unknown" for NaN."""
    return UNKNOWN if math.isnan(mean) else f"{mean:.1f} stars"
