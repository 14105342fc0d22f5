import json
from typing import Any

import polars as pl
import pytest

from recops.data import clean, schema
from recops.data.clean import drop_exact_repeats, k_core, reason_counts, screen
from recops.data.expectations import validate_accepted, validate_rows
from recops.data.rules import with_interaction_facts, with_item_facts
from recops.errors import InputError
from tests.recops.data.small_source import FIRST_TIME, numbered, raw_tables


def broken(table: pl.DataFrame, row: int, **values: Any) -> pl.DataFrame:
    """Put values into one row, named by its `row`."""
    return table.with_columns(
        pl.when(pl.col("row") == row).then(pl.lit(value, dtype=table.schema[name])).otherwise(pl.col(name)).alias(name)
        for name, value in values.items()
    )


def appended(table: pl.DataFrame, **values: Any) -> pl.DataFrame:
    """Repeat the first row at the end, with other values."""
    again = table.head(1).with_columns(
        pl.lit(value, dtype=table.schema[name]).alias(name) for name, value in values.items()
    )
    return numbered(pl.concat([table, again]), dict(table.schema))


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"user_id": None}, "no_user_id"),
        ({"item_id": None}, "no_item_id"),
        ({"timestamp": None}, "no_timestamp"),
        ({"timestamp": FIRST_TIME // 1000}, "time_in_seconds"),
        ({"timestamp": 700_000_000_000}, "time_out_of_range"),
        ({"timestamp": 5_000_000_000_000}, "time_out_of_range"),
        ({"rating": 0.0}, "rating_out_of_range"),
        ({"rating": 5.5}, "rating_out_of_range"),
        ({"item_id": "elsewhere"}, "unknown_item"),
        ({"user_id": None, "rating": 9.0}, "no_user_id"),
    ],
)
def test_an_interaction_that_breaks_a_rule_is_quarantined_with_its_reason(values: dict[str, Any], reason: str) -> None:
    interactions, items = raw_tables()
    screened = screen(broken(interactions, 7, **values), items, max_quarantine_fraction=0.1)
    assert screened.quarantine.select("table", "row", "reason").rows() == [("interactions", 7, reason)]
    content = json.loads(screened.quarantine["content"][0])
    assert {name: content[name] for name in values} == values
    assert screened.interactions["row"].to_list() == [row for row in interactions["row"] if row != 7]
    assert screened.fractions == {"interactions": 1 / len(interactions), "items": 0}


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"title": None}, "no_title"),
        ({"title": " \t"}, "no_title"),
        ({"price": -1.0}, "price_out_of_range"),
        ({"average_rating": 0.5}, "average_rating_out_of_range"),
        ({"item_id": None}, "no_item_id"),
    ],
)
def test_an_item_that_breaks_a_rule_takes_its_interactions_with_it(values: dict[str, Any], reason: str) -> None:
    interactions, items = raw_tables()
    lost = interactions.filter(pl.col("item_id") == items["item_id"][2])["row"].to_list()
    screened = screen(interactions, broken(items, 3, **values), max_quarantine_fraction=0.2)
    rejected = screened.quarantine.filter(pl.col("table") == "items")
    assert rejected.select("row", "reason").rows() == [(3, reason)]
    assert screened.quarantine.filter(pl.col("reason") == "unknown_item")["row"].to_list() == lost


def test_absent_ratings_and_prices_are_accepted() -> None:
    interactions, items = raw_tables()
    nothing = pl.lit(None, dtype=pl.Float32)
    screened = screen(
        interactions.with_columns(nothing.alias("rating")),
        items.with_columns(nothing.alias("price"), nothing.alias("average_rating")),
        max_quarantine_fraction=0.0,
    )
    assert len(screened.interactions) == len(interactions)


def test_an_item_that_is_described_twice_keeps_its_first_row() -> None:
    interactions, items = raw_tables()
    screened = screen(interactions, appended(items, title="Another thing"), max_quarantine_fraction=0.1)
    assert screened.quarantine.select("row", "reason").rows() == [(25, "repeated_item_id")]
    assert screened.items["title"][0] == "Thing 0"
    same = screen(interactions, appended(items), max_quarantine_fraction=0.0)
    assert same.quarantine.is_empty()
    assert len(same.items) == len(items)


def test_exact_repeats_are_dropped_and_counted_outside_the_quarantine() -> None:
    interactions, items = raw_tables()
    again = numbered(pl.concat([interactions, interactions.head(40)]), schema.INTERACTIONS)
    screened = screen(again, items, max_quarantine_fraction=0.0)
    assert screened.num_exact_repeats == 40
    assert screened.quarantine.is_empty()
    assert screened.interactions["row"].to_list() == interactions["row"].to_list()


def test_a_later_repeat_of_an_item_is_no_exact_repeat() -> None:
    interactions, _ = raw_tables()
    assert len(drop_exact_repeats(appended(interactions, timestamp=FIRST_TIME - 1))) == len(interactions) + 1


def test_too_many_rejected_rows_stop_with_the_reason_an_example_and_the_next_step() -> None:
    interactions, items = raw_tables()
    seconds = interactions.with_columns(pl.col("timestamp") // 1000)
    with pytest.raises(InputError) as caught:
        screen(broken(seconds, 1, user_id=None), items, max_quarantine_fraction=0.1)
    assert caught.value.where == "raw_data, interactions"
    assert (
        "100.0% of the rows rejected (time_in_seconds 95, no_user_id 1), for example row 2 of the source: {"
        in caught.value.found
    )
    assert "at most 10.0%" in caught.value.expected
    assert "multiply them by 1000" in caught.value.next_step


def test_the_share_of_each_table_is_judged_for_itself() -> None:
    interactions, items = raw_tables()
    with pytest.raises(InputError, match=r"raw_data, items: found 4\.2% .*no_title 1"):
        screen(interactions, broken(items, 3, title=None), max_quarantine_fraction=0.04)


def test_a_share_at_the_limit_passes() -> None:
    interactions, items = raw_tables()
    screened = screen(broken(interactions, 7, rating=9.0), items, max_quarantine_fraction=1 / len(interactions))
    assert reason_counts(screened.quarantine) == {"interactions": {"rating_out_of_range": 1}}


def test_great_expectations_is_red_on_bad_rows_and_green_on_accepted_ones() -> None:
    interactions, items = raw_tables()
    bad = with_interaction_facts(broken(interactions, 7, rating=9.0), items["item_id"])
    assert not validate_rows("interactions", bad).success
    assert not validate_accepted("interactions", bad).success
    screened = screen(broken(interactions, 7, rating=9.0), items, max_quarantine_fraction=0.1)
    assert {name: facts["success"] for name, facts in screened.suites.items()} == {
        "interactions_rows": False,
        "items_rows": True,
        "interactions_accepted": True,
        "items_accepted": True,
    }
    rating = next(part for part in screened.suites["interactions_rows"]["expectations"] if not part["success"])
    assert (rating["reason"], rating["unexpected_count"]) == ("rating_out_of_range", 1)


@pytest.mark.parametrize("table", ["interactions", "items"])
def test_a_whole_table_with_a_repeat_or_without_rows_is_red(table: Any) -> None:
    interactions, items = raw_tables()
    rows = with_interaction_facts(interactions, items["item_id"]) if table == "interactions" else with_item_facts(items)
    assert validate_accepted(table, rows).success
    assert not validate_accepted(table, pl.concat([rows, rows.head(1)])).success
    assert not validate_accepted(table, rows.head(0)).success


def test_accepted_rows_that_break_a_rule_stop_the_stage(monkeypatch: pytest.MonkeyPatch) -> None:
    interactions, items = raw_tables()
    monkeypatch.setattr(clean, "drop_exact_repeats", lambda rows: rows)
    again = numbered(pl.concat([interactions, interactions.head(1)]), schema.INTERACTIONS)
    with pytest.raises(RuntimeError, match="expect_compound_columns_to_be_unique"):
        screen(again, items, max_quarantine_fraction=0.1)


def test_k_core_repeats_until_nobody_has_too_few() -> None:
    pairs = [("a", "x"), ("a", "y"), ("b", "x"), ("b", "y"), ("c", "x"), ("c", "z"), ("d", "z"), ("d", "q")]
    table = pl.DataFrame(pairs, schema=["user_id", "item_id"], orient="row")
    core = k_core(table, min_per_user=2, min_per_item=2)
    # q goes for item d has it alone, then user d, then item z, then user c.
    assert core.rows() == pairs[:4]


def test_k_core_that_leaves_nothing_says_so() -> None:
    table = pl.DataFrame({"user_id": ["a"], "item_id": ["x"]})
    with pytest.raises(InputError, match="no interaction of 1 left with at least 2 per user and 2 per item"):
        k_core(table, min_per_user=2, min_per_item=2)
