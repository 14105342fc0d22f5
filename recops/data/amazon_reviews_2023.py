"""Source `amazon_reviews_2023`: the published review and meta files in the schema of `raw_data`.

Hou et al. 2024, "Bridging Language and Items for Retrieval and Recommendation". Reviews are read as interactions (the
text of a review is left out: it is written after the purchase that is to be predicted). A key with null means "not
known"; in meta files `price` may be a string, `description` and `categories` are lists.
"""

import re
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated

import msgspec
import polars as pl

from recops.data import schema
from recops.data.json_lines import read_json_lines

_PRICE = re.compile(r"\$?\s*(\d[\d,]*(?:\.\d+)?)")
_INT64 = msgspec.Meta(ge=-(2**63), le=2**63 - 1)

_Texts = list[str] | str | msgspec.UnsetType | None
_Number = float | msgspec.UnsetType | None
_Text = str | msgspec.UnsetType | None


class Review(msgspec.Struct, gc=False):
    """A line of a review file; `timestamp` in milliseconds since 1970."""

    user_id: str | None
    parent_asin: str | None
    rating: float | None
    timestamp: Annotated[int, _INT64] | None


class Item(msgspec.Struct, gc=False):
    """A line of a meta file."""

    parent_asin: str | None
    title: str | None
    main_category: _Text = msgspec.UNSET
    categories: _Texts = msgspec.UNSET
    store: _Text = msgspec.UNSET
    price: float | str | msgspec.UnsetType | None = msgspec.UNSET
    average_rating: _Number = msgspec.UNSET
    description: _Texts = msgspec.UNSET


def read_reviews(path: Path) -> Iterator[pl.DataFrame]:
    """Give the interactions of a review file, a row per line, in the order of the file, block by block.

    Raises:
        InputError: the file or one of its lines cannot be read; the message names both.
    """
    for rows in read_json_lines(path, Review):
        reviews = rows.records
        columns = {
            "user_id": pl.Series([review.user_id for review in reviews], dtype=pl.String),
            "item_id": pl.Series([review.parent_asin for review in reviews], dtype=pl.String),
            "timestamp": pl.Series([review.timestamp for review in reviews], dtype=pl.Int64),
            "rating": pl.Series([review.rating for review in reviews], dtype=pl.Float64),
            "row": rows.numbers,
        }
        yield schema.tidied(pl.DataFrame(columns), schema.INTERACTIONS)


def read_meta(path: Path) -> Iterator[pl.DataFrame]:
    """Give the items of a meta file, a row per line, block by block; the category is the most specific one.

    Raises:
        InputError: as `read_reviews`.
    """
    for rows in read_json_lines(path, Item):
        items = rows.records
        columns = {
            "item_id": pl.Series([item.parent_asin for item in items], dtype=pl.String),
            "title": pl.Series([item.title for item in items], dtype=pl.String),
            "category": pl.Series([_category(item) for item in items], dtype=pl.String),
            "store": pl.Series([item.store or None for item in items], dtype=pl.String),
            "price": pl.Series([_price(item.price) for item in items], dtype=pl.Float64),
            "average_rating": pl.Series([_number(item.average_rating) for item in items], dtype=pl.Float64),
            "description": pl.Series([" ".join(_texts(item.description)) for item in items], dtype=pl.String),
            "row": rows.numbers,
        }
        yield schema.tidied(pl.DataFrame(columns), schema.ITEMS)


def _category(item: Item) -> str | None:
    categories = _texts(item.categories)
    return categories[-1] if categories else item.main_category or None


def _texts(value: _Texts) -> list[str]:
    """One text or several as a list, without blank ones; msgspec's UNSET is false."""
    parts = [value] if isinstance(value, str) else value or []
    return [part.strip() for part in parts if part.strip()]


def _price(value: float | str | msgspec.UnsetType | None) -> float | None:
    """A number, or a string that is wholly one; "from 12.99" and "-" name no price and give None."""
    if isinstance(value, str):
        match = _PRICE.fullmatch(value.strip())
        return float(match[1].replace(",", "")) if match else None
    return _number(value)


def _number(value: float | msgspec.UnsetType | None) -> float | None:
    return value if isinstance(value, float) else None
