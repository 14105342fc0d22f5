"""What a row of interactions or items must be, and what to tell when one is not.

A rule says the same thing twice: as a Polars expression, which sees every row and decides, and as a Great Expectations
expectation, which sees a sample; `recops.data.screening` stops when the two disagree on a row that both have seen.
"""

from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any, Literal

import polars as pl

Table = Literal["interactions", "items"]

EARLIEST_MILLISECONDS = 788_918_400_000  # 1995-01-01, before the first online review
LATEST_MILLISECONDS = 4_102_444_800_000  # 2100-01-01: what lies beyond is no time of a shop in any unit
LOWEST_RATING = 0.5  # MovieLens
TIME_UNITS = {"seconds": 1_000, "microseconds": -1_000, "nanoseconds": -1_000_000}
"""Units that are taken for milliseconds by mistake -> what to multiply by (below 0: divide) to get milliseconds."""

NO_TITLE = "no_title"

_TIME_UNIT = "raw_data.source.interactions.time_unit"
_IN_SOURCE = "Mend or remove these rows in the source."
_VISIBLE = r"[^\s\p{Cc}\p{Cf}\p{Co}]"
_CONTROL = r"\p{Cc}"
_CONTROL_BUT_WHITE_SPACE = r"[\p{Cc}--[\t\n\r]]"
_CHAT_TOKEN = (
    r"<\|[^<>]{1,40}\|>|<｜[^<>]{1,40}｜>|</?(?:s|bos|eos|pad|unk|think|tool_call|tool_response|start_of_turn|end_of_turn)>"
    r"|\[/?(?:INST|SYSTEM_PROMPT|AVAILABLE_TOOLS|TOOL_CALLS|TOOL_RESULTS)\]|<</?SYS>>"
)


@dataclass(frozen=True)
class Rule:
    """One property of a row.

    Attributes:
        reason: code under which a row that breaks it is counted.
        broken: Polars expression, true where a row breaks it, never null.
        expectation, arguments: the same by class name in `great_expectations.expectations`.
        expected, next_step: what to tell.
        rejects: whether a row that breaks it goes to the quarantine; else it is counted and stays.
    """

    reason: str
    broken: pl.Expr
    expectation: str
    arguments: dict[str, Any]
    expected: str
    next_step: str
    rejects: bool = True


def row_rules(table: Table, *, latest_date: date) -> tuple[Rule, ...]:
    """Return the rules of a table in the order in which a row is told of them.

    Args:
        table: which one.
        latest_date: times from this day on (UTC) lie in the future.
    """
    return _interaction_rules(milliseconds(latest_date)) if table == "interactions" else _item_rules()


def milliseconds(day: date) -> int:
    """Return the start of a day (UTC) in milliseconds since 1970."""
    return int(datetime.combine(day, time(), UTC).timestamp()) * 1000


def iso_time(time: int) -> str:
    """Return milliseconds since 1970 as ISO 8601, UTC."""
    return datetime.fromtimestamp(time / 1000, tz=UTC).isoformat(timespec="milliseconds")


def with_interaction_facts(interactions: pl.LazyFrame, listed: pl.DataFrame) -> pl.LazyFrame:
    """Add `item` (its number among the accepted items, null where it is none) and the columns that rules read.

    The rows keep their order.
    """
    unit = pl.lit(None, dtype=pl.String)
    for name, factor in {"milliseconds": 1, **TIME_UNITS}.items():
        low, high = (_in_unit(bound, factor) for bound in (EARLIEST_MILLISECONDS, LATEST_MILLISECONDS))
        unit = pl.when(pl.col("timestamp").is_between(low, high)).then(pl.lit(name)).otherwise(unit)
    numbers = listed.lazy().select("item_id", "item")
    numbered = interactions.join(numbers, on="item_id", how="left", maintain_order="left")
    return numbered.with_columns(
        unit.alias("time_unit"),
        # A null id has its own reason.
        (pl.col("item").is_not_null() | pl.col("item_id").is_null()).alias("item_is_listed"),
        _has(_CONTROL, "user_id").alias("id_has_control_character"),
    )


def with_item_facts(items: pl.LazyFrame) -> pl.LazyFrame:
    """Add the columns that rules over items read beside the source's own."""
    first = pl.col("row").min().over("item_id")
    repeats = pl.col("item_id").is_not_null() & (pl.col("row") != first)
    return items.with_columns(
        pl.when(repeats).then(first).alias("row_with_same_id"),
        _has(_CONTROL, "item_id").alias("id_has_control_character"),
        _has(_VISIBLE, "title").alias("has_title"),
        _has(_CONTROL_BUT_WHITE_SPACE, "title").alias("title_has_control_character"),
        _has(_CHAT_TOKEN, "title").alias("title_has_chat_token"),
        pl.col("title").str.contains("\ufffd", literal=True).fill_null(value=False).alias("title_has_lost_character"),
    )


def _interaction_rules(latest: int) -> tuple[Rule, ...]:
    day = datetime.fromtimestamp(latest / 1000, UTC).date().isoformat()
    future = pl.col("timestamp").is_between(latest, LATEST_MILLISECONDS)
    return (
        _not_null("user_id"),
        _not_null("item_id"),
        _not_null("timestamp"),
        *(_other_unit(name, factor) for name, factor in TIME_UNITS.items()),
        _flag(
            "time_unit",
            None,
            reason="time_out_of_range",
            expected="milliseconds since 1970, from 1995 to 2100",
            next_step=f"{_IN_SOURCE} Of the source `files`, check {_TIME_UNIT} and columns.time in the recipe too.",
        ),
        Rule(
            "time_in_future",
            future.fill_null(value=False),
            "ExpectColumnValuesToBeBetween",
            {"column": "timestamp", "max_value": latest, "strict_max": True},
            f"times before {day}, validated_splits.validation.latest_date",
            "Mend these times in the source, or raise latest_date if the data is newer.",
        ),
        _between("rating", LOWEST_RATING, 5, reason="rating_out_of_range", expected="a rating from 0.5 to 5, or none"),
        _id_without_control_character("user_id"),
        _flag(
            "item_is_listed",
            False,
            reason="unknown_item",
            expected="an accepted item with this id among the items",
            next_step="Add the item, with a title, to the source's items.",
        ),
    )


def _item_rules() -> tuple[Rule, ...]:
    repeated = "Keep one row per item in the source."
    kept = "Nothing has to be done: what shows titles to a model takes such characters out. Better, mend the source."
    return (
        _not_null("item_id"),
        _id_without_control_character("item_id"),
        Rule(
            "repeated_item_id",
            pl.col("row_with_same_id").is_not_null(),
            "ExpectColumnValuesToBeNull",
            {"column": "row_with_same_id"},
            "each item_id once",
            repeated,
        ),
        _flag(
            "has_title",
            False,
            reason=NO_TITLE,
            expected="a title with a visible character",
            next_step="Give the item a title, or remove it from the source.",
        ),
        _between("price", 0, 1e7, reason="price_out_of_range", expected="a price from 0 to ten million, or none"),
        _between("average_rating", 1, 5, reason="average_rating_out_of_range", expected="from 1 to 5, or none"),
        _flag(
            "title_has_control_character",
            True,
            reason="control_character_in_title",
            expected="no NUL or other control character in a title",
            next_step=kept,
            rejects=False,
        ),
        _flag(
            "title_has_chat_token",
            True,
            reason="chat_token_in_title",
            expected="no control token of a chat format in a title",
            next_step=kept,
            rejects=False,
        ),
        _flag(
            "title_has_lost_character",
            True,
            reason="lost_character_in_title",
            expected="no U+FFFD, the trace of text read in the wrong encoding",
            next_step="Convert the source to UTF-8 from the encoding that it was written in.",
            rejects=False,
        ),
    )


def _not_null(column: str) -> Rule:
    return Rule(
        f"no_{column}",
        pl.col(column).is_null(),
        "ExpectColumnValuesToNotBeNull",
        {"column": column},
        f"a {column} in every row",
        _IN_SOURCE,
    )


def _between(column: str, low: float, high: float, *, reason: str, expected: str) -> Rule:
    arguments = {"column": column, "min_value": low, "max_value": high}
    broken = (~pl.col(column).is_between(low, high)).fill_null(value=False)
    return Rule(reason, broken, "ExpectColumnValuesToBeBetween", arguments, expected, _IN_SOURCE)


def _flag(
    column: str, bad: bool | None, *, reason: str, expected: str, next_step: str = _IN_SOURCE, rejects: bool = True
) -> Rule:
    """A rule over a derived column, which breaks it by one value; a null value has a rule of its own before it."""
    if bad is None:
        broken, expectation, arguments = pl.col(column).is_null(), "ExpectColumnValuesToNotBeNull", {"column": column}
        return Rule(reason, broken, expectation, arguments, expected, next_step, rejects)
    set_of = {"column": column, "value_set": [not bad]}
    return Rule(reason, pl.col(column) == bad, "ExpectColumnValuesToBeInSet", set_of, expected, next_step, rejects)


def _other_unit(name: str, factor: int) -> Rule:
    step = f"multiply them by {factor}" if factor > 0 else f"divide them by {-factor}"
    return Rule(
        f"time_in_{name}",
        (pl.col("time_unit") == name).fill_null(value=False),
        "ExpectColumnValuesToNotBeInSet",
        {"column": "time_unit", "value_set": [name]},
        "milliseconds since 1970 (13 digits)",
        f"These times look like {name}, not milliseconds. Of the source `files`, correct {_TIME_UNIT} in the "
        f"recipe ({_right_units(factor)}); of another, {step} in the source.",
    )


def _right_units(factor: int) -> str:
    """What the source counts, for each `time_unit` with which it is taken for something else by this factor."""
    units = ("s", "ms", "us", "ns")
    shift = 1 if factor == -1_000 else 2 if factor < 0 else -1
    places = range(max(0, -shift), len(units) - max(0, shift))
    return ", ".join(f"{units[place]} becomes {units[place + shift]}" for place in places)


def _id_without_control_character(column: str) -> Rule:
    return _flag(
        "id_has_control_character",
        True,
        reason=f"control_character_in_{column}",
        expected=f"no NUL, line break or other control character in a {column}",
    )


def _has(pattern: str, column: str) -> pl.Expr:
    return pl.col(column).str.contains(pattern).fill_null(value=False)


def _in_unit(bound: int, factor: int) -> int:
    return bound // factor if factor > 0 else bound * -factor
