"""What is expected of the tables that go on goes red when they break it."""

from dataclasses import replace
from typing import Any

import polars as pl
import pytest

from recops.data.acceptance import judge_tables
from recops.data.clean import CleanTables, clean_tables
from recops.data.expectations import SuiteResult
from recops.data.sampling import build_samples, taken_items, with_candidates
from recops.data.slices import slice_facts, with_slices
from recops.data.table_facts import candidate_facts
from recops.errors import InputError
from tests.recops.data.small_source import raw_tables, splits_config

Tables = tuple[CleanTables, pl.DataFrame, pl.DataFrame]


@pytest.fixture(scope="module")
def tables(tmp_path_factory: pytest.TempPathFactory) -> Tables:
    folder, config = tmp_path_factory.mktemp("raw"), splits_config()
    for name, table in zip(("interactions", "items"), raw_tables(), strict=True):
        table.write_parquet(folder / f"{name}.parquet")
    clean = clean_tables(folder, config, seed=3)
    interactions = with_slices(clean.interactions, config.split)
    taken = taken_items(interactions, len(clean.items))
    samples, _ = build_samples(interactions, taken, config.split.fitted_on)
    ids = {"user_ids": clean.users["user_id"], "item_ids": clean.items["item_id"]}
    return clean, interactions, with_candidates(samples, interactions, taken, **ids, config=config.candidates, seed=3)


def judged(tables: Tables, **limits: Any) -> dict[str, SuiteResult]:
    clean, interactions, samples = tables
    config = splits_config()
    config = splits_config(validation={**config.validation.model_dump(mode="json"), **limits})
    slices = slice_facts(interactions, samples)
    return judge_tables(clean, interactions, samples, slices=slices, config=config, seed=3)


def with_cell(table: pl.DataFrame, name: str, row: int, value: Any) -> pl.DataFrame:
    cells = table[name].to_list()
    cells[row] = value
    return table.with_columns(pl.Series(name, cells, dtype=table.schema[name]))


def test_good_tables_pass_every_critical_expectation_and_few_samples_warn(tables: Tables) -> None:
    results = judged(tables)
    failed = {
        (name, one["severity"], one["expected"])
        for name, suite in results.items()
        for one in suite.facts["expectations"]
        if not one["success"]
    }
    assert failed == {("splits", "warning", "100 test samples or more")}
    assert {suite.facts["sample_seed"] for name, suite in results.items() if name != "histories"} == {None}


def test_large_tables_are_judged_on_a_sample_row_by_row_and_on_all_rows_as_a_whole(tables: Tables) -> None:
    results = judged(tables, max_sampled_rows=20)
    rows = len(tables[1])
    assert (results["interactions_accepted"].facts["rows"], results["interactions_accepted"].facts["rows_seen"]) == (
        rows,
        20,
    )
    assert results["interactions_whole"].facts["rows_seen"] == rows


@pytest.mark.parametrize(
    ("limits", "message"),
    [
        ({"min_users": 13}, r"num_users 12; expected at least 13 users"),
        ({"min_items": 25}, r"num_items 2\d; expected at least 25 items"),
    ],
)
def test_too_few_users_or_items_are_refused(tables: Tables, limits: dict[str, Any], message: str) -> None:
    with pytest.raises(InputError, match=message):
        judged(tables, **limits)


def test_a_share_of_items_without_a_title_that_was_let_pass_stops_the_stage(tables: Tables) -> None:
    clean, interactions, samples = tables
    untitled = pl.DataFrame([{"table": "items", "row": 1, "reason": "no_title", "content": "{}"}])
    items = replace(clean.screened["items"], quarantine=untitled)
    worse = replace(clean, screened={**clean.screened, "items": items})
    with pytest.raises(RuntimeError, match=r"source: .*at most 4\.0% of the items without a title"):
        judged((worse, interactions, samples), max_untitled_fraction=0.04)


def test_mixed_units_of_time_are_a_warning(tables: Tables) -> None:
    clean, interactions, samples = tables
    seconds = pl.DataFrame([{"table": "interactions", "row": 1, "reason": "time_in_seconds", "content": "{}"}])
    mixed = replace(clean.screened["interactions"], quarantine=seconds)
    source = judged((replace(clean, screened={**clean.screened, "interactions": mixed}), interactions, samples))[
        "source"
    ]
    assert [one["expected"] for one in source.facts["expectations"] if not one["success"]] == [
        "one unit of time in all rows"
    ]


@pytest.mark.parametrize(
    ("column", "value", "fact"),
    [
        ("user", None, "rows_without_id_or_time"),
        ("timestamp", 1_600_000_000, "times_out_of_range"),
        ("timestamp", 1_704_067_200_000, "times_out_of_range"),
        ("rating", 7.0, "ratings_out_of_range"),
        ("item", 99, "rows_of_unknown_items"),
        ("user", 12, "rows_of_unknown_users"),
    ],
)
def test_one_wrong_interaction_stops_the_stage(tables: Tables, column: str, value: Any, fact: str) -> None:
    clean, interactions, samples = tables
    with pytest.raises(RuntimeError, match=f"interactions_whole: .*{fact}"):
        judged((clean, with_cell(interactions, column, len(interactions) - 1, value), samples))


def test_disorder_and_repeats_stop_the_stage(tables: Tables) -> None:
    clean, interactions, samples = tables
    with pytest.raises(RuntimeError, match="rows_out_of_order"):
        judged((clean, interactions.reverse(), samples))
    again = pl.concat([interactions.head(1), interactions])
    with pytest.raises(RuntimeError, match="repeated_rows"):
        judged((clean, again, samples))


def test_a_slice_that_starts_before_the_last_one_ends_stops_the_stage(tables: Tables) -> None:
    clean, interactions, samples = tables
    slices = slice_facts(interactions, samples)
    slices["valid"] = {**slices["valid"], "first_timestamp": slices["policy_train"]["last_timestamp"]}
    with pytest.raises(RuntimeError, match=r"splits: .*every slice later than the one before"):
        judge_tables(clean, interactions, samples, slices=slices, config=splits_config(), seed=3)


def test_an_older_slice_after_a_newer_one_of_the_same_user_stops_the_stage(tables: Tables) -> None:
    clean, interactions, samples = tables
    with pytest.raises(RuntimeError, match="rows_of_an_older_slice"):
        judged((clean, with_cell(interactions, "slice", 0, "test"), samples))


@pytest.mark.parametrize(
    ("change", "fact"),
    [
        (lambda row, target: [item if item != target else 99 for item in row], "sets_without_their_target_once"),
        (lambda row, target: [target] * len(row), "sets_with_a_repeat"),
        (lambda row, target: [target, *range(90, 90 + len(row) - 1)], "candidates_outside_the_catalogue"),
    ],
)
def test_one_wrong_candidate_set_stops_the_stage(tables: Tables, change: Any, fact: str) -> None:
    clean, interactions, samples = tables
    row = change(samples["candidates"][5].to_list(), samples["target"][5])
    with pytest.raises(RuntimeError, match=f"candidates: .*{fact}"):
        judged((clean, interactions, with_cell(samples, "candidates", 5, row)))


def test_a_negative_from_the_history_stops_the_stage(tables: Tables) -> None:
    clean, interactions, samples = tables
    taken = int(interactions["item"][samples["history_start"][5]])
    others = [item for item in samples["candidates"][5].to_list() if item not in (taken, samples["target"][5])]
    row = [samples["target"][5], taken, *others][: len(samples["candidates"][5])]
    with pytest.raises(RuntimeError, match=r"histories: .*negatives_in_history"):
        judged((clean, interactions, with_cell(samples, "candidates", 5, row)))


def test_targets_that_always_stand_first_are_found() -> None:
    rows = [[1, 2, 3, 4, 5]] * 400
    samples = pl.DataFrame({"target": [1] * 400, "candidates": pl.Series(rows, dtype=pl.Array(pl.Int32, 5))})
    assert candidate_facts(samples, 5)["target_place_excess"] > 5
    even = samples.with_columns((pl.int_range(pl.len()) % 5 + 1).alias("target"))
    assert candidate_facts(even, 5)["target_place_excess"] == 0
