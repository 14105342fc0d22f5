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


def in_schema(table: pl.DataFrame, schema: Schema) -> pl.DataFrame:
    """Return the columns of `schema`, in its order and types."""
    return table.select(pl.col(name).cast(kind) for name, kind in schema.items())


def with_blanks_absent(table: pl.DataFrame) -> pl.DataFrame:
    """Strip white space around every text; a text that is then empty is absent."""
    text = pl.col(pl.String).str.strip_chars()
    return table.with_columns(pl.when(text != "").then(text))
