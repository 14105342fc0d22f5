"""Columns of `raw_data`, the one schema that every source is read into (docs/artefacts.md tells what they mean)."""

import polars as pl

Schema = dict[str, type[pl.DataType]]

INTERACTIONS: Schema = {
    "user_id": pl.String,
    "item_id": pl.String,
    "timestamp": pl.Int64,
    "rating": pl.Float32,
    "row": pl.Int64,
}
WEIGHT: Schema = {"weight": pl.Float32}
"""A further column of interactions, where the recipe weighs kinds of events."""
ITEMS: Schema = {
    "item_id": pl.String,
    "title": pl.String,
    "category": pl.String,
    "store": pl.String,
    "price": pl.Float32,
    "average_rating": pl.Float32,
    "description": pl.String,
    "row": pl.Int64,
}


RECURRING = ("item_id", "category", "store", "price", "average_rating", "rating", "weight")
"""Columns whose values come again and again: only these are worth a dictionary in a file."""


def in_schema(table: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return the columns of `schema`, in its order and types."""
    return table.select(pl.col(name).cast(kind) for name, kind in schema.items())


def tidied(table: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """As `in_schema`, without white space around texts; a text that is then empty is absent."""
    return table.select(_text(name) if kind == pl.String else pl.col(name).cast(kind) for name, kind in schema.items())


def _text(name: str) -> pl.Expr:
    text = pl.col(name).str.strip_chars()
    return pl.when(text != "").then(text).alias(name)
