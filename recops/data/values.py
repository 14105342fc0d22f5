"""Values of files as columns of `raw_data`: text, numbers and times, each refused by row where it is none.

A value that is absent or blank is null. Whether a value is in range is no question here: `recops.data.rules` asks it.
"""

from pathlib import Path
from typing import Literal, NoReturn

import polars as pl

from recops.config.raw_data import RatingRange
from recops.errors import InputError

TimeUnit = Literal["s", "ms", "us", "ns", "iso"]

_PER_SECOND = {"s": 1, "ms": 1_000, "us": 1_000_000, "ns": 1_000_000_000}
_LARGEST = 2**53  # seconds or milliseconds beyond it are in no calendar, and times 1000 still fit into 64 bits
_ISO = r"^(\d{4}-\d\d-\d\d)(?:[T ](\d\d:\d\d(?::\d\d(?:\.\d{1,9})?)?) ?(Z|[+-]\d\d:?\d\d)?)?$"
_SHOWN_CHARACTERS = 120
_TEXT = "text or whole numbers"
_TEXT_TYPES = (pl.String, pl.Categorical, pl.Enum, pl.Null)  # Null: nothing but absent values
_TIMES = "times with a date, or text such as 2024-05-31T12:00:00Z (time_unit: iso); for numbers: s, ms, us or ns"


def as_text(table: pl.DataFrame, column: str | None, path: Path, *, expected: str = _TEXT) -> pl.Series:
    """Return a column as text without white space around it.

    Raises:
        InputError: the column is of neither text nor whole numbers; `expected` is what to tell of it.
    """
    if column is None:
        return pl.Series([None] * len(table), dtype=pl.String)
    values = table[column]
    if not (values.dtype.is_integer() or values.dtype.base_type() in _TEXT_TYPES):
        _refuse_type(path, column, values.dtype, expected)
    text = values.cast(pl.String).str.strip_chars()
    return text.set(text == "", None)


def as_number(table: pl.DataFrame, column: str | None, path: Path) -> pl.Series:
    """Return a column as float64; nothing but finite numbers is taken from text."""
    if column is None:
        return pl.Series([None] * len(table), dtype=pl.Float64)
    values = table[column]
    if values.dtype.is_numeric():  # NaN is how pandas writes an absent number
        numbers = values.cast(pl.Float64).fill_nan(None)
        text = numbers.cast(pl.String)
    else:
        text = as_text(table, column, path, expected="numbers, or text that is one")
        numbers = text.cast(pl.Float64, strict=False)
    numbers = numbers.set(~numbers.is_finite(), None)
    _check_all(text, numbers, table, column, path, expected="a number, with a point before the fraction, or nothing")
    return numbers


def as_rating(table: pl.DataFrame, column: str | None, path: Path, limits: RatingRange | None) -> pl.Series:
    """Return a column of ratings, the lowest and highest of the shop mapped onto 1 and 5.

    What is outside of them becomes 0 or 6, which the rules of `validated_splits` reject: -1, as many shops write that
    there is none, would lie among the ratings of a long scale.
    """
    ratings = as_number(table, column, path)
    if limits is None:
        return ratings
    low, high = limits
    rating = pl.col("rating")
    mapped = rating if (low, high) == (1.0, 5.0) else 1 + (rating - low) * (4 / (high - low))
    within = pl.when(rating < low).then(0.0).when(rating > high).then(6.0).otherwise(mapped)
    return ratings.to_frame("rating").select(within.alias(ratings.name))[ratings.name]


def as_milliseconds(table: pl.DataFrame, column: str, path: Path, unit: TimeUnit) -> pl.Series:
    """Return a column of times as milliseconds since 1970, UTC; a time without a zone is taken as UTC.

    Raises:
        InputError: a value is no time in this unit, or the column is one of times and the unit is not iso.
    """
    values = table[column]
    if values.dtype.is_temporal():
        if unit == "iso" and values.dtype.base_type() not in (pl.Datetime, pl.Date):
            _refuse_type(path, column, values.dtype, _TIMES)
        if unit != "iso":
            _refuse_type(path, column, values.dtype, f"numbers that count {unit} (time_unit: {unit}); for times: iso")
        return values.cast(pl.Datetime("ms")).dt.epoch("ms")
    return _from_iso(table, column, path) if unit == "iso" else _from_count(table, column, path, unit)


def _from_count(table: pl.DataFrame, column: str, path: Path, unit: str) -> pl.Series:
    whole_numbers = f"whole numbers that count {unit} (time_unit: {unit}), or text that is one"
    if table[column].dtype.is_float():
        text = table[column].cast(pl.String)
    else:
        text = as_text(table, column, path, expected=whole_numbers)
    whole = text.cast(pl.Int64, strict=False)
    fraction = text.cast(pl.Float64, strict=False) if unit == "s" or table[column].dtype.is_float() else None
    if fraction is not None:
        fraction = fraction.set(~fraction.is_finite(), None)
    counted = whole if fraction is None else whole.cast(pl.Float64).fill_null(fraction)
    expected = f"{'a number' if unit == 's' else 'a whole number'} of {unit} since 1970 (time_unit: {unit}), or nothing"
    _check_all(text, counted, table, column, path, expected=expected)
    if fraction is not None:
        scaled = counted.clip(-_LARGEST, _LARGEST) * (1000 / _PER_SECOND[unit])
        return scaled.round().cast(pl.Int64)
    per = _PER_SECOND[unit]
    return counted.clip(-_LARGEST, _LARGEST) * 1000 if per == 1 else counted // (per // 1000)


def _from_iso(table: pl.DataFrame, column: str, path: Path) -> pl.Series:
    text = as_text(table, column, path, expected=_TIMES)
    parts = text.to_frame("text").select(
        day=pl.col("text").str.extract(_ISO, 1),
        time=pl.col("text").str.extract(_ISO, 2).fill_null("00:00"),
        zone=pl.col("text").str.extract(_ISO, 3).fill_null("+00:00").replace("Z", "+00:00"),
    )
    seconds = pl.when(pl.col("time").str.len_chars() == 5).then(pl.col("time") + ":00").otherwise(pl.col("time"))
    whole = pl.concat_str("day", pl.lit("T"), seconds, "zone").str.to_datetime(
        "%Y-%m-%dT%H:%M:%S%.f%z", time_unit="ms", time_zone="UTC", strict=False
    )
    times = parts.select(whole.alias("time"))["time"].dt.epoch("ms")
    _check_all(text, times, table, column, path, expected="a time such as 2024-05-31T12:00:00Z or 2024-05-31")
    return times


def _check_all(
    text: pl.Series, values: pl.Series, table: pl.DataFrame, column: str, path: Path, *, expected: str
) -> None:
    """Every text must have become a value; the first that did not is named."""
    lost = text.is_not_null() & values.is_null()
    if lost.any():
        row, found = table["row"].filter(lost)[0], text.filter(lost)[0]
        raise InputError(
            f"{path}, row {row}",
            found=f"{column}: {found[:_SHOWN_CHARACTERS]!r}",
            expected=f"{column}: {expected}",
            next_step="Mend or remove the row, or correct raw_data.source in the recipe.",
        )


def _refuse_type(path: Path, column: str, found: pl.DataType, expected: str) -> NoReturn:
    step = "Correct raw_data.source in the recipe, or write the column in another type."
    raise InputError(path, found=f"{column}: a column of {found}", expected=f"{column}: {expected}", next_step=step)
