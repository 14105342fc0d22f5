"""Source `amazon_reviews_2023`: the published review and meta files in the schema of `raw_data`.

Hou et al. 2024, "Bridging Language and Items for Retrieval and Recommendation". Reviews are read as interactions (the
text of a review is left out: it is written after the purchase that is to be predicted). A key with null means "not
known"; in meta files `price` may be a string, `description` and `categories` are lists.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recops.data import schema
from recops.data.json_lines import read_json_lines, refuse_value

REVIEW_KEYS = ("user_id", "parent_asin", "rating", "timestamp")
META_REQUIRED = ("parent_asin", "title")
META_KEYS = ("main_category", "categories", "store", "price", "average_rating", "description")

_PRICE = re.compile(r"\$?\s*(\d[\d,]*(?:\.\d+)?)")
_INT64 = 2**63
_ROWS_PER_CHUNK = 200_000


@dataclass(frozen=True)
class _Line:
    """One line of a file, read key by key with the type that is expected there."""

    path: Path
    number: int
    content: dict[str, Any]

    def text(self, key: str) -> str | None:
        value = self.content.get(key)
        if value is not None and not isinstance(value, str):
            refuse_value(self.path, self.number, key=key, value=value, expected="a string or null")
        return (value or "").strip() or None

    def number_or_none(self, key: str) -> float | None:
        value = self.content.get(key)
        if value is not None and (isinstance(value, bool) or not isinstance(value, int | float)):
            refuse_value(self.path, self.number, key=key, value=value, expected="a number or null")
        return None if value is None else float(value)

    def milliseconds(self, key: str) -> int | None:
        value = self.content.get(key)
        if value is None:
            return None
        if isinstance(value, bool) or not isinstance(value, int) or abs(value) >= _INT64:
            refuse_value(self.path, self.number, key=key, value=value, expected="milliseconds since 1970, an integer")
        return int(value)

    def texts(self, key: str) -> list[str]:
        value = self.content.get(key)
        parts = [value] if isinstance(value, str) else value or []
        if not isinstance(parts, list) or not all(isinstance(part, str) for part in parts):
            refuse_value(self.path, self.number, key=key, value=value, expected="a list of strings, a string or null")
        return [part.strip() for part in parts if part.strip()]

    def price(self, key: str) -> float | None:
        """A number, or a string that is wholly one; "from 12.99" and "-" name no price and give None."""
        value = self.content.get(key)
        if not isinstance(value, str):
            return self.number_or_none(key)
        match = _PRICE.fullmatch(value.strip())
        return float(match[1].replace(",", "")) if match else None


def read_reviews(path: Path) -> pl.DataFrame:
    """Return the interactions of a review file, a row per line, in the order of the file.

    Raises:
        InputError: the file or one of its lines cannot be read; the message names both.
    """
    lines = read_json_lines(path, required=REVIEW_KEYS, expected=())
    rows = (_interaction(_Line(path, number, content)) for number, content in lines)
    return _frame(rows, schema.INTERACTIONS)


def read_meta(path: Path) -> pl.DataFrame:
    """Return the items of a meta file, a row per line; the category is the most specific one.

    Raises:
        InputError: as `read_reviews`.
    """
    lines = read_json_lines(path, required=META_REQUIRED, expected=META_KEYS)
    rows = (_item(_Line(path, number, content)) for number, content in lines)
    return _frame(rows, schema.ITEMS)


def _interaction(line: _Line) -> tuple[Any, ...]:
    return (
        line.text("user_id"),
        line.text("parent_asin"),
        line.milliseconds("timestamp"),
        line.number_or_none("rating"),
        line.number,
    )


def _item(line: _Line) -> tuple[Any, ...]:
    categories = line.texts("categories")
    return (
        line.text("parent_asin"),
        line.text("title"),
        categories[-1] if categories else line.text("main_category"),
        line.text("store"),
        line.price("price"),
        line.number_or_none("average_rating"),
        " ".join(line.texts("description")) or None,
        line.number,
    )


def _frame(rows: Iterator[tuple[Any, ...]], columns: schema.Schema) -> pl.DataFrame:
    """Collect rows in chunks: Python objects of millions of lines at once would fill the memory."""
    frames, chunk = [pl.DataFrame(schema=columns)], []
    for row in rows:
        chunk.append(row)
        if len(chunk) == _ROWS_PER_CHUNK:
            frames.append(pl.DataFrame(chunk, schema=columns, orient="row"))
            chunk = []
    frames.append(pl.DataFrame(chunk, schema=columns, orient="row"))
    return pl.concat(frames, rechunk=True)
