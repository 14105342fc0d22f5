"""Every expectation of every suite over what goes on: broken alone on a small table, it and nothing else fails."""

import re
from collections.abc import Callable
from typing import Any

import polars as pl
import pytest

from recops.config.validated_splits import TemporalConfig
from recops.data import acceptance
from recops.data.bounds import Bound, all_rows, judge_facts
from recops.data.candidate_suites import _HISTORY_BOUND, CANDIDATE_BOUNDS
from recops.data.clean import CleanTables
from recops.data.expectations import SuiteResult
from recops.data.samples import SLICE_CODES
from recops.errors import InputError
from tests.recops.data.small_source import DAY, FIRST_TIME, splits_config

CONFIG = splits_config()
INTERACTIONS = pl.DataFrame(
    {
        "user": pl.Series([0, 0, 1, 1], dtype=pl.Int32),
        "item": pl.Series([1, 2, 1, 2], dtype=pl.Int32),
        "timestamp": pl.Series([FIRST_TIME + step * DAY for step in range(4)], dtype=pl.Int64),
        "rating": pl.Series([1.0, 5.0, None, 0.5], dtype=pl.Float32),
        "slice": list(SLICE_CODES),
    }
)
ITEMS = pl.DataFrame(
    {
        "item": pl.Series([1, 2, 3], dtype=pl.Int32),
        "item_id": ["a", "b", "c"],
        "row": [1, 2, 3],
        "title": ["Lamp", "Rug", "Chair"],
        "price": pl.Series([0.0, 9.5, None], dtype=pl.Float32),
        "average_rating": pl.Series([1.0, 5.0, None], dtype=pl.Float32),
        "has_title": [True, True, True],
    }
)
SLICES: dict[Any, dict[str, int]] = {
    name: {"num_interactions": 1, "num_samples": 100, "first_timestamp": place * 10, "last_timestamp": place * 10 + 9}
    for place, name in enumerate(SLICE_CODES)
}


def cell(column: str, value: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """Put a value into the first row of a column, whose type stays."""
    return lambda table: table.with_columns(
        pl.Series(column, [value, *table[column].to_list()[1:]], dtype=table.schema[column])
    )


def cast(column: str, kind: Any) -> Callable[[pl.DataFrame], pl.DataFrame]:
    return lambda table: table.with_columns(pl.col(column).cast(kind))


def failing(judge: Callable[[], SuiteResult]) -> list[str]:
    """What a suite expects in vain, in its own words: of a result, or of the error that stops the stage."""
    try:
        result = judge()
    except InputError as error:
        return [str(error.expected)]
    except RuntimeError as error:
        return [found[1] for found in re.findall(r"""'expected': (['"])(.*?)\1""", str(error))]
    return [one["expected"] for one in result.facts["expectations"] if not one["success"]]


def judge_interactions(table: pl.DataFrame) -> SuiteResult:
    return acceptance._judge_interactions(table, CONFIG, 3)


def judge_items(table: pl.DataFrame) -> SuiteResult:
    items, facts = table.select("item", "item_id", "row"), table.drop("item", "item_id")
    return acceptance._judge_items(CleanTables(INTERACTIONS, INTERACTIONS, items, facts, {}, {}), CONFIG, 3)


INTERACTIONS_BROKEN = [
    ("user: int32", cast("user", pl.Int64)),
    ("item: int32", cast("item", pl.Int64)),
    ("timestamp: int64", cast("timestamp", pl.Float64)),
    ("rating: float32", cast("rating", pl.Float64)),
    # pandas has whole numbers with an absent one as fractions: their type is another one too.
    ("a user in every row", cell("user", None)),
    ("a item in every row", cell("item", None)),
    ("a timestamp in every row", cell("timestamp", None)),
    ("times from 1995 to validation.latest_date", cell("timestamp", 0)),
    ("times from 1995 to validation.latest_date", cell("timestamp", 1_704_067_200_000)),
    ("ratings from 0.5 to 5", cell("rating", 0.25)),
    ("ratings from 0.5 to 5", cell("rating", 5.5)),
    ("one of the four slices", cell("slice", "later")),
]
ITEMS_BROKEN = [
    ("item: int32", cast("item", pl.Int64)),
    ("item_id: str", lambda table: table.with_columns(pl.col("item").cast(pl.Int64).alias("item_id"))),
    ("title: str", lambda table: table.with_columns(pl.lit(7).alias("title"))),
    ("price: float32", cast("price", pl.Float64)),
    ("average_rating: float32", cast("average_rating", pl.Float64)),
    ("each item_id once", cell("item_id", "b")),
    ("a visible title", cell("has_title", False)),
    ("prices from 0 to ten million", cell("price", -0.01)),
    ("prices from 0 to ten million", cell("price", 1e7 + 1)),
    ("average ratings from 1 to 5", cell("average_rating", 0.5)),
    ("average ratings from 1 to 5", cell("average_rating", 5.5)),
]


@pytest.mark.parametrize(("expected", "broken"), INTERACTIONS_BROKEN)
def test_an_accepted_interaction_that_is_wrong_fails_its_expectation(expected: str, broken: Any) -> None:
    found = failing(lambda: judge_interactions(broken(INTERACTIONS)))
    kinds = {"user": "user: int32", "item": "item: int32", "timestamp": "timestamp: int64"}
    beside = [kinds[expected.split()[1]]] if expected.endswith("in every row") else []
    assert sorted(found) == sorted([expected, *beside])


@pytest.mark.parametrize(("expected", "broken"), ITEMS_BROKEN)
def test_an_accepted_item_that_is_wrong_fails_its_expectation(expected: str, broken: Any) -> None:
    assert failing(lambda: judge_items(broken(ITEMS))) == [expected]


def changed(name: str, **facts: int) -> dict[Any, dict[str, int]]:
    return {**SLICES, name: {**SLICES[name], **facts}}


SPLITS_BROKEN = [
    ("100 test samples or more", changed("test", num_samples=99)),
    ("samples in every slice but tool_fit", changed("valid", num_samples=0)),
    ("every slice later than the one before", changed("valid", first_timestamp=19)),
]


@pytest.mark.parametrize(("expected", "slices"), SPLITS_BROKEN)
def test_a_split_that_is_wrong_fails_its_expectation(expected: str, slices: Any) -> None:
    assert failing(lambda: acceptance._judge_splits(slices, CONFIG.split)) == [expected]


BOUNDS = {
    "source": acceptance.source_bounds(CONFIG),
    "interactions_whole": acceptance.interaction_bounds(CONFIG),
    "candidates": CANDIDATE_BOUNDS,
    "histories": (_HISTORY_BOUND,),
}


def within(suite: str) -> dict[str, Any]:
    return {one.fact: one.low if one.low is not None else one.high for one in BOUNDS[suite]}


OUTSIDE = [(suite, bound, bound.low - 1) for suite, all_ in BOUNDS.items() for bound in all_ if bound.low] + [
    (suite, bound, bound.high + 1) for suite, all_ in BOUNDS.items() for bound in all_ if bound.high is not None
]


@pytest.mark.parametrize(("suite", "bound", "value"), OUTSIDE)
def test_a_number_outside_of_its_range_fails_its_expectation(suite: str, bound: Bound, value: float) -> None:
    facts = {**within(suite), bound.fact: value}
    assert failing(lambda: judge_facts(suite, facts, BOUNDS[suite], all_rows(9))) == [bound.told]


def test_every_number_has_an_outside_and_is_right_within() -> None:
    assert {bound.fact for _, bound, _ in OUTSIDE} == {bound.fact for all_ in BOUNDS.values() for bound in all_}
    for suite, bounds in BOUNDS.items():
        assert judge_facts(suite, within(suite), bounds, all_rows(9)).success


def test_good_tables_fail_nothing_and_no_expectation_is_without_a_row_above() -> None:
    assert isinstance(CONFIG.split, TemporalConfig)
    # A slice without an interaction has no row in the facts of a split: nothing here can break that one.
    never = {"interactions in every slice"}
    for result, cases, spared in (
        (judge_interactions(INTERACTIONS), INTERACTIONS_BROKEN, set()),
        (judge_items(ITEMS), ITEMS_BROKEN, set()),
        (acceptance._judge_splits(SLICES, CONFIG.split), SPLITS_BROKEN, never),
    ):
        told = [one["expected"] for one in result.facts["expectations"]]
        assert result.success
        assert {expected for expected, _ in cases} == set(told) - spared
