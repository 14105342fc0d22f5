from datetime import UTC, date, datetime, time, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recops.config.raw_data import InteractionFiles
from recops.data.files import EventFilter, read_interactions
from recops.data.rules import row_rules
from recops.data.values import as_milliseconds, as_number, as_rating, as_text
from recops.errors import InputError

PATH = Path("x.csv")
NOON = 1_717_156_800_000  # 2024-05-31T12:00:00Z


def column(*values: Any) -> pl.DataFrame:
    return pl.DataFrame({"x": values}).with_row_index("row", offset=2)


@pytest.mark.parametrize(
    ("value", "unit", "expected"),
    [
        ("1717156800", "s", NOON),
        ("1717156800.5", "s", NOON + 500),
        (" 1717156800000 ", "ms", NOON),
        ("1717156800000999", "us", NOON),
        ("1717156800000999999", "ns", NOON),
        (1717156800, "s", NOON),
        (1717156800.25, "s", NOON + 250),
        (-1, "ms", -1),
        (9 * 10**18, "s", 2**53 * 1000),
        ("", "s", None),
        ("2024-05-31T12:00:00Z", "iso", NOON),
        ("2024-05-31 14:00:00.000123+02:00", "iso", NOON),
        ("2024-05-31T07:00:00.5 -0500", "iso", NOON + 500),
        ("2024-05-31 12:00", "iso", NOON),
        ("2024-05-31", "iso", NOON - 43_200_000),
        (datetime(2024, 5, 31, 12, tzinfo=UTC), "iso", NOON),
        (datetime(2024, 5, 31, 12), "iso", NOON),
        (date(2024, 5, 31), "iso", NOON - 43_200_000),
    ],
)
def test_a_time_in_any_unit_becomes_milliseconds_in_utc(value: Any, unit: Any, expected: int | None) -> None:
    assert as_milliseconds(column(value), "x", PATH, unit).to_list() == [expected]


@pytest.mark.parametrize(
    ("value", "unit"),
    [
        ("yesterday", "s"),
        ("1717156800000.5", "ms"),
        ("2024-05-31", "ms"),
        ("1717156800", "iso"),
        ("31.05.2024", "iso"),
        ("2024-13-31", "iso"),
        ("nan", "s"),
        ("99999999999999999999", "ms"),
    ],
)
def test_what_is_no_time_in_the_unit_is_refused_by_row(value: str, unit: Any) -> None:
    with pytest.raises(InputError, match=r"x\.csv, row 3: found x: .*; expected x: a .*raw_data\.source"):
        as_milliseconds(column(None, value), "x", PATH, unit)


def test_a_column_of_times_is_no_count() -> None:
    with pytest.raises(InputError, match=r"a column of Datetime.*; expected x: numbers that count s .*iso"):
        as_milliseconds(column(datetime(2024, 5, 31)), "x", PATH, "s")


def test_numbers_are_finite_or_absent() -> None:
    assert as_number(column("1.5", "", "-2e3"), "x", PATH).to_list() == [1.5, None, -2000.0]
    assert as_number(column(1.5, float("nan"), None), "x", PATH).to_list() == [1.5, None, None]
    assert as_number(column(1, 2), None, PATH).to_list() == [None, None]
    for bad in ("1,5", "nan", "inf", "five"):
        with pytest.raises(InputError, match=rf"row 2: found x: '{bad}'"):
            as_number(column(bad), "x", PATH)
    with pytest.raises(InputError, match="row 2: found x: 'inf'"):
        as_number(column(float("inf")), "x", PATH)


def test_ids_are_text_or_whole_numbers() -> None:
    assert as_text(column(" a ", "", " "), "x", PATH).to_list() == ["a", None, None]
    assert as_text(column(7, None), "x", PATH).to_list() == ["7", None]
    with pytest.raises(InputError, match="a column of Float64; expected x: text or whole numbers"):
        as_text(column(7.0), "x", PATH)


OTHER_TYPES = {
    "Time": time(12),
    "Duration": timedelta(days=1),
    "Decimal": Decimal("1.5"),
    "List": [1],
    "Struct": {"id": 1},
    "Boolean": True,
    "Binary": b"a",
}


@pytest.mark.parametrize(
    ("setting", "kinds", "expected"),
    [
        ("user", {*OTHER_TYPES, "Date", "Float64"}, "text or whole numbers"),
        ("item", {*OTHER_TYPES, "Date", "Float64"}, "text or whole numbers"),
        ("rating", {*OTHER_TYPES, "Date"} - {"Decimal"}, "numbers, or text that is one"),
        ("iso", {*OTHER_TYPES, "Float64"}, "times with a date, or text such as"),
        ("s", {*OTHER_TYPES, "Date"} - {"Decimal"}, "(whole )?numbers that count s "),
    ],
)
def test_a_parquet_column_of_another_type_is_named_with_what_it_is_and_may_be(
    tmp_path: Path, setting: str, kinds: set[str], expected: str
) -> None:
    values = {**OTHER_TYPES, "Date": date(2024, 5, 31), "Float64": 1.5}
    given = {"user": "u", "item": "i", "time": "2024-05-31" if setting != "s" else "1717156800", "rating": "3"}
    unit = setting if setting in ("iso", "s") else "iso"
    named = "time" if setting in ("iso", "s") else setting
    config = InteractionFiles.model_validate(
        {"files": "x", "columns": {**{name: name for name in given}, "event": None}, "time_unit": unit}
        | {"rating_range": [1, 5], "events": None}
    )
    for kind in sorted(kinds):
        pl.DataFrame({**given, named: [values[kind]]}).write_parquet(tmp_path / "x.parquet")
        found = rf"x\.parquet: found {named}: a column of {kind}.*; expected {named}: {expected}.*raw_data\.source"
        with pytest.raises(InputError, match=found):
            list(read_interactions(tmp_path / "x.parquet", config, None, EventFilter(None, None)))


@pytest.mark.parametrize("kind", [pl.Categorical, pl.Enum(["7"])])
def test_categories_are_text_and_a_column_without_a_type_is_absent(kind: Any) -> None:
    table = pl.DataFrame({"x": pl.Series([" 7", "7", None], dtype=pl.String).str.strip_chars().cast(kind)})
    assert as_text(table, "x", PATH).to_list() == ["7", "7", None]
    for read in (as_text, as_number):
        assert read(pl.DataFrame({"x": [None]}), "x", PATH).to_list() == [None]


def test_ratings_of_a_shop_are_mapped_onto_one_to_five() -> None:
    assert as_rating(column("0", "10", "5", ""), "x", PATH, (0.0, 10.0)).to_list() == [1.0, 5.0, 3.0, None]
    assert as_rating(column("4.3"), "x", PATH, (1.0, 5.0)).to_list() == [4.3]


@pytest.mark.parametrize("limits", [(0.0, 10.0), (0.0, 100.0), (1.0, 5.0)])
def test_a_rating_outside_of_the_shops_is_one_that_no_rule_lets_pass(limits: tuple[float, float]) -> None:
    low, high = limits
    ratings = as_rating(column(str(low - 1), str(low - 0.01), str(high + 0.01), "", str(high)), "x", PATH, limits)
    assert ratings.to_list() == [0.0, 0.0, 6.0, None, 5.0]
    [rule] = [
        one
        for one in row_rules("interactions", latest_date=date(2030, 1, 1))
        if one.arguments.get("column") == "rating"
    ]
    assert ratings.to_frame("rating").select(rule.broken).to_series().to_list() == [True, True, True, False, False]
