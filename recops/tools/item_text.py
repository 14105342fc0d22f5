"""Items in words: the chosen fields of an item on one line, every word of them through the sanitizer."""

import math
from collections.abc import Sequence

import polars as pl

from recops.config.agent import ItemField
from recops.tools.sanitize import Sanitizer

UNKNOWN = "unknown"


class ItemText:
    """Fields of the items (row i of the frame is item i + 1) as clean text."""

    def __init__(self, items: pl.DataFrame, sanitizer: Sanitizer) -> None:
        self._columns = {
            name: items[name].to_list() for name in ("title", "category", "store", "price", "average_rating")
        }
        self._sanitizer = sanitizer

    def line(self, item: int, fields: Sequence[ItemField]) -> str:
        """Return the fields of an item joined by ` | `, "unknown" where one is absent."""
        return " | ".join(self.field(item, name) for name in fields)

    def field(self, item: int, name: ItemField) -> str:
        """Return one field of an item as text."""
        if name == "price":
            return self._number("price", item, "${:.2f}")
        if name == "rating":
            return self._number("average_rating", item, "{:.1f} stars")
        value = self._columns[name][item - 1]
        return (self._sanitizer.clean(value) if value else "") or UNKNOWN

    def price(self, item: int) -> float | None:
        """Return the price of an item, None where it is absent."""
        value = self._columns["price"][item - 1]
        return None if value is None or math.isnan(value) else float(value)

    def _number(self, column: str, item: int, form: str) -> str:
        value = self._columns[column][item - 1]
        return UNKNOWN if value is None or math.isnan(value) else form.format(value)
