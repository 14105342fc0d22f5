"""What a row of interactions or items must be: Great Expectations suites, in code.

A rule is one expectation and the reason under which rows that fail it are quarantined. Great Expectations is imported
where it runs, for that takes seconds; its analytics and progress bars are off.
"""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache
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


@dataclass(frozen=True)
class SuiteResult:
    """Outcome of one suite: `failed` holds (reason, source row) of every failing row, in the order of the rules."""

    success: bool
    failed: tuple[tuple[str, int], ...]
    facts: dict[str, Any]


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


_RULES: dict[Table, tuple[Rule, ...]] = {
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
        _between("rating", 1, 5, reason="rating_out_of_range", expected="a rating from 1 to 5, or none"),
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
_WHOLE_TABLE: dict[Table, tuple[tuple[str, dict[str, Any]], ...]] = {
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
    return next(rule for rule in _RULES[table] if rule.reason == reason)


def validate_rows(table: Table, rows: pl.DataFrame) -> SuiteResult:
    """Run the row rules over raw rows; `rows` has a `row` column that names them and the derived columns."""
    return _run(f"{table}_rows", rows, [_row_rule(rule) for rule in _RULES[table]])


def validate_accepted(table: Table, rows: pl.DataFrame) -> SuiteResult:
    """Run the row rules and those of the whole table over accepted rows: here every one must succeed."""
    whole = [(name, arguments, {}) for name, arguments in _WHOLE_TABLE[table]]
    return _run(f"{table}_accepted", rows, [*[_row_rule(rule) for rule in _RULES[table]], *whole])


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


def _row_rule(rule: Rule) -> tuple[str, dict[str, Any], dict[str, str]]:
    return rule.expectation, rule.arguments, {"reason": rule.reason}


def _run(
    name: str, rows: pl.DataFrame, expectations: Sequence[tuple[str, dict[str, Any], dict[str, str]]]
) -> SuiteResult:
    gx, context = _great_expectations()
    source = context.data_sources.add_or_update_pandas(name)
    batch_definition = source.add_dataframe_asset(name).add_batch_definition_whole_dataframe(name)
    batch = batch_definition.get_batch({"dataframe": rows.to_pandas()})
    suite = gx.ExpectationSuite(
        name=name,
        expectations=[
            getattr(gx.expectations, expectation)(**arguments, meta=meta)
            for expectation, arguments, meta in expectations
        ],
    )
    shape = {"result_format": "COMPLETE", "unexpected_index_column_names": ["row"], "include_unexpected_rows": False}
    result = batch.validate(suite, result_format=shape).to_json_dict()
    return SuiteResult(
        success=result["success"],
        failed=tuple(row for part in result["results"] for row in _failed_rows(part)),
        facts={"success": result["success"], "expectations": [_facts(part) for part in result["results"]]},
    )


def _failed_rows(part: dict[str, Any]) -> list[tuple[str, int]]:
    trouble = part["exception_info"]
    if trouble.get("raised_exception", True):
        raise RuntimeError(f"Great Expectations could not evaluate {part['expectation_config']}: {trouble}")
    reason = part["expectation_config"]["meta"].get("reason")
    listed = part["result"].get("unexpected_index_list") or [] if reason else []
    return [(reason, int(entry["row"])) for entry in listed]


def _facts(part: dict[str, Any]) -> dict[str, Any]:
    """What a person wants of one expectation's result; the ids and times of a run are left out, they differ each run."""
    config, result = part["expectation_config"], part["result"]
    counts = {key: result[key] for key in ("element_count", "unexpected_count", "observed_value") if key in result}
    kwargs = {key: value for key, value in config["kwargs"].items() if key != "batch_id"}
    return {"type": config["type"], "kwargs": kwargs, **config["meta"], "success": part["success"], **counts}


@cache
def _great_expectations() -> tuple[Any, Any]:
    """Import the library and open a context that lives in memory only."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"  # read at import
    import great_expectations as gx
    import great_expectations.expectations

    context = gx.get_context(mode="ephemeral")
    context.variables.progress_bars = {"globally": False}
    return gx, context
