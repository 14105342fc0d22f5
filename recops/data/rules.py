"""What a row of interactions or items must be, and what to tell when one is not.

A rule is one Great Expectations expectation, by its class name, and the reason under which rows that fail it are
quarantined. `recops.data.expectations` runs the rules.
"""

from dataclasses import dataclass
from typing import Any, Literal

import polars as pl

Table = Literal["interactions", "items"]

EARLIEST_MILLISECONDS = 788_918_400_000  # 1995-01-01, before the first online review
LATEST_MILLISECONDS = 4_102_444_800_000  # 2100-01-01: a fixed bound, for "now" would give other bytes tomorrow


@dataclass(frozen=True)
class Rule:
    """One expectation, by its class name in `great_expectations.expectations`, and what to tell when a row fails it."""

    reason: str
    expectation: str
    arguments: dict[str, Any]
    expected: str
    next_step: str


def _not_null(column: str) -> Rule:
    return Rule(
        f"no_{column}",
        "ExpectColumnValuesToNotBeNull",
        {"column": column},
        f"a {column} in every row",
        "Mend or remove these rows in the source.",
    )


def _between(column: str, low: float, high: float, *, reason: str, expected: str) -> Rule:
    arguments = {"column": column, "min_value": low, "max_value": high}
    step = "Mend or remove these rows in the source."
    return Rule(reason, "ExpectColumnValuesToBeBetween", arguments, expected, step)


RULES: dict[Table, tuple[Rule, ...]] = {
    "interactions": (
        _not_null("user_id"),
        _not_null("item_id"),
        _not_null("timestamp"),
        Rule(
            "time_in_seconds",
            "ExpectColumnValuesToBeInSet",
            {"column": "looks_like_seconds", "value_set": [False]},
            "milliseconds since 1970 (13 digits)",
            "These times look like seconds: multiply them by 1000 in the source.",
        ),
        _between(
            "timestamp",
            EARLIEST_MILLISECONDS,
            LATEST_MILLISECONDS,
            reason="time_out_of_range",
            expected="milliseconds since 1970, from 1995 to 2100",
        ),
        _between("rating", 0.5, 5, reason="rating_out_of_range", expected="a rating from 0.5 to 5, or none"),
        Rule(
            "unknown_item",
            "ExpectColumnValuesToBeInSet",
            {"column": "item_is_listed", "value_set": [True]},
            "an accepted item with this id among the items",
            "Add the item, with a title, to the source's items.",
        ),
    ),
    "items": (
        _not_null("item_id"),
        Rule(
            "repeated_item_id",
            "ExpectColumnValuesToBeNull",
            {"column": "row_with_same_id"},
            "each item_id once",
            "Keep one row per item in the source.",
        ),
        Rule(
            "no_title",
            "ExpectColumnValuesToBeInSet",
            {"column": "has_title", "value_set": [True]},
            "a title that is not blank",
            "Give the item a title, or remove it from the source.",
        ),
        _between("price", 0, 1e7, reason="price_out_of_range", expected="a price from 0 to ten million, or none"),
        _between("average_rating", 1, 5, reason="average_rating_out_of_range", expected="from 1 to 5, or none"),
    ),
}

# What must hold for an accepted table as a whole; it has no reason, for no single row is to blame.
WHOLE_TABLE: dict[Table, tuple[tuple[str, dict[str, Any]], ...]] = {
    "interactions": (
        ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
        ("ExpectCompoundColumnsToBeUnique", {"column_list": ["user_id", "item_id", "timestamp"]}),
        ("ExpectColumnValuesToBeOfType", {"column": "user_id", "type_": "str"}),
        ("ExpectColumnValuesToBeOfType", {"column": "item_id", "type_": "str"}),
        ("ExpectColumnValuesToBeOfType", {"column": "timestamp", "type_": "int64"}),
        ("ExpectColumnValuesToBeOfType", {"column": "rating", "type_": "float32"}),
    ),
    "items": (
        ("ExpectTableRowCountToBeBetween", {"min_value": 1}),
        ("ExpectColumnValuesToBeUnique", {"column": "item_id"}),
        ("ExpectColumnValuesToBeOfType", {"column": "item_id", "type_": "str"}),
        ("ExpectColumnValuesToBeOfType", {"column": "price", "type_": "float32"}),
    ),
}


def rule_of(table: Table, reason: str) -> Rule:
    """Return the rule behind a quarantine reason."""
    return next(rule for rule in RULES[table] if rule.reason == reason)


def with_interaction_facts(interactions: pl.DataFrame, listed_items: pl.Series) -> pl.DataFrame:
    """Add the columns that rules over interactions need beside the source's own."""
    seconds = pl.col("timestamp").is_between(EARLIEST_MILLISECONDS // 1000, LATEST_MILLISECONDS // 1000)
    return interactions.with_columns(
        seconds.fill_null(value=False).alias("looks_like_seconds"),
        # A null id has its own reason.
        pl.col("item_id").is_in(listed_items.implode()).fill_null(value=True).alias("item_is_listed"),
    )


def with_item_facts(items: pl.DataFrame) -> pl.DataFrame:
    """Add the columns that rules over items need beside the source's own."""
    first = pl.col("row").min().over("item_id")
    repeats = pl.col("item_id").is_not_null() & (pl.col("row") != first)
    return items.with_columns(
        pl.when(repeats).then(first).alias("row_with_same_id"),
        pl.col("title").fill_null("").str.contains(r"\S").alias("has_title"),
    )
