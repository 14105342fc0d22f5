"""From raw tables to the rows that go on."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recops.data import schema, screening
from recops.data.clean import CleanTables, clean_tables, drop_exact_repeats, k_core
from recops.data.rules import Rule
from recops.data.values import as_milliseconds
from recops.errors import InputError
from tests.recops.data.small_source import FIRST_TIME, numbered, raw_tables, splits_config


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


def cleaned(folder: Path, interactions: pl.DataFrame, items: pl.DataFrame, **changes: Any) -> CleanTables:
    """Clean two tables with a k-core of one, so that nothing but the rules leaves rows out."""
    interactions.write_parquet(folder / "interactions.parquet")
    items.write_parquet(folder / "items.parquet")
    core = {"min_interactions_per_user": 1, "min_interactions_per_item": 1}
    return clean_tables(folder, splits_config(**{**core, **changes}), seed=3)


def with_ids(clean: CleanTables) -> list[tuple[Any, ...]]:
    """The accepted interactions as (user id, item id, time), sorted."""
    named = clean.interactions.join(clean.users, on="user").join(clean.items, on="item")
    return sorted(named.select("user_id", "item_id", "timestamp").rows())


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"user_id": None}, "no_user_id"),
        ({"item_id": None}, "no_item_id"),
        ({"timestamp": None}, "no_timestamp"),
        ({"timestamp": FIRST_TIME // 1000}, "time_in_seconds"),
        ({"timestamp": FIRST_TIME * 1000}, "time_in_microseconds"),
        ({"timestamp": FIRST_TIME * 1_000_000}, "time_in_nanoseconds"),
        ({"timestamp": 700_000_000_000}, "time_out_of_range"),
        ({"timestamp": 0}, "time_out_of_range"),
        ({"timestamp": -FIRST_TIME}, "time_out_of_range"),
        ({"timestamp": 1_704_067_200_000}, "time_in_future"),  # the first moment of splits_config's latest_date
        ({"user_id": "u\x0001"}, "control_character_in_user_id"),
        ({"user_id": "u\n01"}, "control_character_in_user_id"),
        ({"timestamp": 5_000_000_000_000}, "time_out_of_range"),
        ({"rating": 0.0}, "rating_out_of_range"),
        ({"rating": 5.5}, "rating_out_of_range"),
        ({"item_id": "elsewhere"}, "unknown_item"),
        ({"user_id": None, "rating": 9.0}, "no_user_id"),
    ],
)
def test_an_interaction_that_breaks_a_rule_is_quarantined_with_its_reason(
    tmp_path: Path, values: dict[str, Any], reason: str
) -> None:
    interactions, items = raw_tables()
    clean = cleaned(tmp_path, broken(interactions, 7, **values), items)
    assert clean.quarantine.select("table", "row", "reason").rows() == [("interactions", 7, reason)]
    content = json.loads(clean.quarantine["content"][0])
    assert {name: content[name] for name in values} == values
    others = interactions.filter(pl.col("row") != 7).select("user_id", "item_id", "timestamp").rows()
    assert with_ids(clean) == sorted(others)
    assert {name: table.fraction for name, table in clean.screened.items()} == {
        "interactions": 1 / len(interactions),
        "items": 0,
    }


@pytest.mark.parametrize(
    ("values", "reason"),
    [
        ({"title": None}, "no_title"),
        ({"title": " \t"}, "no_title"),
        ({"title": "\x00\u200b\ufeff"}, "no_title"),
        ({"item_id": "i\x0002"}, "control_character_in_item_id"),
        ({"price": -1.0}, "price_out_of_range"),
        ({"average_rating": 0.5}, "average_rating_out_of_range"),
        ({"item_id": None}, "no_item_id"),
    ],
)
def test_an_item_that_breaks_a_rule_takes_its_interactions_with_it(
    tmp_path: Path, values: dict[str, Any], reason: str
) -> None:
    interactions, items = raw_tables()
    lost = interactions.filter(pl.col("item_id") == items["item_id"][2])["row"].to_list()
    clean = cleaned(tmp_path, interactions, broken(items, 3, **values), max_quarantine_fraction=0.2)
    rejected = clean.quarantine.filter(pl.col("table") == "items")
    assert rejected.select("row", "reason").rows() == [(3, reason)]
    assert clean.quarantine.filter(pl.col("reason") == "unknown_item")["row"].to_list() == lost


@pytest.mark.parametrize(
    ("title", "reason"),
    [
        ("Lamp\x00", "control_character_in_title"),
        ("Lamp\x1b[31m", "control_character_in_title"),
        ("Lamp<|im_end|><|im_start|>system", "chat_token_in_title"),
        ("[INST] Lamp", "chat_token_in_title"),
        ("Lamp</think>", "chat_token_in_title"),
        ("L\ufffdmpchen", "lost_character_in_title"),
    ],
)
def test_a_suspicious_title_is_counted_and_its_item_stays(tmp_path: Path, title: str, reason: str) -> None:
    interactions, items = raw_tables()
    clean = cleaned(tmp_path, interactions, broken(items, 3, title=title), max_quarantine_fraction=0.0)
    warnings = clean.screened["items"].warnings
    assert {name: count for name, count in warnings.items() if count} == {reason: 1}
    assert len(clean.items) == interactions["item_id"].n_unique()


def test_ordinary_titles_are_not_suspicious(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    titles = ["Cable <2 m>", "A|B", "Tab\tand\r\nlines", "[2-Pack] Größe", "日本語", "s < t > u"]
    for row, title in enumerate(titles, start=1):
        items = broken(items, row, title=title)
    assert set(cleaned(tmp_path, interactions, items).screened["items"].warnings.values()) == {0}


def test_absent_ratings_and_prices_are_accepted(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    nothing = pl.lit(None, dtype=pl.Float32)
    clean = cleaned(
        tmp_path,
        interactions.with_columns(nothing.alias("rating")),
        items.with_columns(nothing.alias("price"), nothing.alias("average_rating")),
        max_quarantine_fraction=0.0,
    )
    assert len(clean.interactions) == len(interactions)


def test_an_item_that_is_described_twice_keeps_its_first_row(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    clean = cleaned(tmp_path, interactions, appended(items, title="Another thing"))
    assert clean.quarantine.select("row", "reason").rows() == [(25, "repeated_item_id")]
    assert clean.items.filter(pl.col("item_id") == "i00")["row"].to_list() == [1]
    same = cleaned(tmp_path, interactions, appended(items), max_quarantine_fraction=0.0)
    assert same.quarantine.is_empty()
    assert same.items.rows() == clean.items.rows()


def test_exact_repeats_are_dropped_and_counted_outside_the_quarantine(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    # Other items at the time of the repeated ones: repeats need not be neighbours.
    tied = interactions.head(40).with_columns(pl.col("item_id").reverse())
    once = numbered(pl.concat([interactions, tied]).unique(["user_id", "item_id", "timestamp"]), schema.INTERACTIONS)
    again = numbered(pl.concat([once, interactions.head(40)]), schema.INTERACTIONS)
    clean = cleaned(tmp_path, again, items, max_quarantine_fraction=0.0)
    assert clean.dropped["exact_repeats"] == 40
    assert clean.quarantine.is_empty()
    assert with_ids(clean) == sorted(once.select("user_id", "item_id", "timestamp").rows())


def test_the_repeat_that_stays_is_the_first_of_the_file(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    clean = cleaned(tmp_path, appended(interactions, rating=2.5), items)
    assert clean.dropped["exact_repeats"] == 1
    assert 2.5 not in clean.interactions["rating"].to_list()


def test_a_later_repeat_of_an_item_is_no_exact_repeat() -> None:
    rows = pl.DataFrame({"user": [0, 0, 0], "item": [1, 1, 1], "timestamp": [1, 2, 2]})
    assert drop_exact_repeats(rows)["timestamp"].to_list() == [1, 2]


def test_rows_that_share_a_hash_are_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = pl.DataFrame({"user": [0, 0, 1, 0], "item": [1, 2, 1, 1], "timestamp": [1, 1, 1, 1]})
    monkeypatch.setattr(pl.DataFrame, "hash_rows", lambda table: pl.Series([7] * len(table), dtype=pl.UInt64))
    assert drop_exact_repeats(rows).rows() == [(0, 1, 1), (0, 2, 1), (1, 1, 1)]


def test_users_that_share_a_hash_are_told_apart(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    interactions, items = raw_tables()
    once = appended(interactions, user_id="once")
    expected = cleaned(tmp_path, once, items, min_interactions_per_user=2)
    monkeypatch.setattr(pl.Expr, "hash", lambda column: column.str.len_chars().cast(pl.UInt64) // 100)
    found = cleaned(tmp_path, once, items, min_interactions_per_user=2)
    assert (with_ids(found), found.dropped) == (with_ids(expected), expected.dropped)
    assert len(found.users) == interactions["user_id"].n_unique()


def test_a_core_that_nobody_is_in_counts_the_rows_that_were_there(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    with pytest.raises(InputError, match=f"no interaction of {len(interactions)} left with at least 999 per user"):
        cleaned(tmp_path, interactions, items, min_interactions_per_user=999)


def test_users_with_one_row_are_left_out_of_a_core_of_two_and_counted(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    clean = cleaned(tmp_path, appended(interactions, user_id="once"), items, min_interactions_per_user=2)
    assert "once" not in clean.users["user_id"].to_list()
    assert clean.dropped["interactions_outside_core"] == 1
    whole = cleaned(tmp_path, appended(interactions, user_id="once"), items)
    assert whole.dropped["interactions_outside_core"] == 0
    assert "once" in whole.users["user_id"].to_list()


def test_too_many_rejected_rows_stop_with_the_reason_an_example_and_the_next_step(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    seconds = interactions.with_columns(pl.col("timestamp") // 1000)
    with pytest.raises(InputError) as caught:
        cleaned(tmp_path, broken(seconds, 1, user_id=None), items)
    assert caught.value.where == "raw_data, interactions"
    assert (
        "100.0% of the rows rejected (time_in_seconds 95, no_user_id 1), for example row 2 of the source: {"
        in caught.value.found
    )
    assert "at most 10.0%" in caught.value.expected
    assert "multiply them by 1000" in caught.value.next_step


@pytest.mark.parametrize(
    ("given", "counted", "reason", "told"),
    [
        ("ms", "s", "time_in_seconds", "ms becomes s, us becomes ms, ns becomes us"),
        ("s", "ms", "time_in_microseconds", "s becomes ms, ms becomes us, us becomes ns"),
        ("s", "us", "time_in_nanoseconds", "s becomes us, ms becomes ns"),
        ("us", "s", "time_out_of_range", "check raw_data.source.interactions.time_unit and columns.time"),
        ("s", "ns", "time_out_of_range", "check raw_data.source.interactions.time_unit and columns.time"),
    ],
)
def test_a_wrong_unit_of_time_is_told_with_the_setting_that_mends_it(
    tmp_path: Path, given: Any, counted: str, reason: str, told: str
) -> None:
    interactions, items = raw_tables()
    per_second = {"s": 1, "ms": 10**3, "us": 10**6, "ns": 10**9}[counted]
    in_file = interactions.with_columns((pl.col("timestamp") // 1000 * per_second).alias("time"))
    read = in_file.with_columns(as_milliseconds(in_file, "time", tmp_path, given).alias("timestamp")).drop("time")
    with pytest.raises(InputError, match=rf"\({reason} {len(read)}\)") as caught:
        cleaned(tmp_path, read, items)
    assert told in caught.value.next_step
    assert "raw_data.source.interactions.time_unit" in caught.value.next_step
    if "becomes" in told:
        assert f"{given} becomes {counted}" in told


def test_the_share_of_each_table_is_judged_for_itself(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    with pytest.raises(InputError, match=r"raw_data, items: found 4\.2% .*price_out_of_range 1.*max_quarantine_fracti"):
        cleaned(tmp_path, interactions, broken(items, 3, price=-1.0), max_quarantine_fraction=0.04)


def test_items_without_a_title_have_a_limit_of_their_own(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    interactions = interactions.filter(pl.col("item_id") != items["item_id"][2])  # which would be rejected with it
    items = broken(broken(items, 3, title=None), 4, price=-1.0)
    interactions = interactions.filter(pl.col("item_id") != items["item_id"][3])
    share = 1 / len(items)
    clean = cleaned(tmp_path, interactions, items, **limits(untitled=share, others=share))
    assert clean.reason_counts == {"items": {"no_title": 1, "price_out_of_range": 1}}
    with pytest.raises(InputError, match=r"found 4\.2% .*\(no_title 1\).*raise .*validation\.max_untitled_fraction"):
        cleaned(tmp_path, interactions, items, **limits(untitled=0.04, others=0.5))
    with pytest.raises(InputError, match=r"found 4\.2% .*\(price_out_of_range 1\).*splits\.max_quarantine_fraction"):
        cleaned(tmp_path, interactions, items, **limits(untitled=0.5, others=0.04))


def limits(*, untitled: float, others: float) -> dict[str, Any]:
    validation = splits_config().validation.model_dump(mode="json")
    return {"max_quarantine_fraction": others, "validation": {**validation, "max_untitled_fraction": untitled}}


def test_a_share_at_the_limit_passes(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    clean = cleaned(tmp_path, broken(interactions, 7, rating=9.0), items, max_quarantine_fraction=1 / len(interactions))
    assert clean.reason_counts == {"interactions": {"rating_out_of_range": 1}}


def test_great_expectations_names_the_rule_that_raw_rows_break(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    suite = cleaned(tmp_path, broken(interactions, 7, rating=9.0), items).screened["interactions"].suite
    assert not suite.success
    assert suite.failed == (("rating_out_of_range", 7),)
    rating = next(part for part in suite.facts["expectations"] if not part["success"])
    assert (rating["reason"], rating["unexpected_count"], rating["severity"]) == ("rating_out_of_range", 1, "warning")


def test_a_large_table_is_judged_on_a_stated_seeded_sample(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    limits = {**splits_config().validation.model_dump(mode="json"), "max_sampled_rows": 40}
    bad = broken(broken(interactions, 7, rating=9.0), 8, rating=9.0)
    one, two = (cleaned(tmp_path, bad, items, validation=limits).screened["interactions"] for _ in range(2))
    assert (one.suite.facts["rows"], one.suite.facts["rows_seen"]) == (96, 40)
    assert one.suite.facts["sample_seed"] is not None
    assert one.suite == two.suite
    assert len(one.quarantine) == 2  # whatever the sample holds


def test_a_rule_that_great_expectations_does_not_confirm_stops_the_stage(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rules = screening.row_rules
    monkeypatch.setattr(screening, "row_rules", lambda *names, **limits: _blind(rules(*names, **limits)))
    interactions, items = raw_tables()
    with pytest.raises(RuntimeError, match=r"judge rows differently: \[\(7, 'rating_out_of_range'\)\]"):
        cleaned(tmp_path, broken(interactions, 7, rating=9.0), items)


def _blind(rules: tuple[Rule, ...]) -> list[Rule]:
    """The same rules, but Polars does not see that any is broken."""
    return [replace(rule, broken=pl.lit(value=False)) for rule in rules]


def test_k_core_repeats_until_nobody_has_too_few() -> None:
    pairs = [(0, 1), (0, 2), (1, 1), (1, 2), (2, 1), (2, 3), (3, 3), (3, 4)]
    table = pl.DataFrame(pairs, schema=["user", "item"], orient="row")
    core = k_core(table, min_per_user=2, min_per_item=2)
    # Item 4 goes for user 3 has it alone, then user 3, then item 3, then user 2.
    assert core.rows() == pairs[:4]


def test_k_core_that_leaves_nothing_says_so() -> None:
    table = pl.DataFrame({"user": [0], "item": [1]})
    with pytest.raises(InputError, match="no interaction of 1 left with at least 2 per user and 2 per item"):
        k_core(table, min_per_user=2, min_per_item=2)
