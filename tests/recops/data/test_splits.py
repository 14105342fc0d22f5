import dataclasses
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from recops.artifacts import file_sha256, read_json
from recops.config.validated_splits import ValidatedSplitsConfig
from recops.data import schema
from recops.data.samples import SLICE_TYPE, SampleStore
from recops.data.splits import SplitsReport, run_validated_splits
from recops.errors import InputError
from tests.recops.data.small_source import DAY, numbered, raw_tables, splits_config, stage_io, temporal, write_raw_data

FILES = ("interactions", "items", "users", "samples", "quarantine")


def run(
    root: Path,
    interactions: pl.DataFrame,
    items: pl.DataFrame,
    *,
    config: ValidatedSplitsConfig | None = None,
    seed: int = 3,
) -> tuple[SplitsReport, Path]:
    write_raw_data(root, interactions, items)
    io = stage_io("validated_splits", root)
    return run_validated_splits(io, config or splits_config(), seed=seed), io.out


def hashes(folder: Path) -> dict[str, str]:
    return {path.name: file_sha256(path) for path in sorted(folder.iterdir())}


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_candidates(tmp_path: Path) -> None:
    tables = raw_tables()
    (one, first), (two, second) = run(tmp_path / "a", *tables), run(tmp_path / "b", *tables)
    assert hashes(first) == hashes(second)
    assert set(hashes(first)) == {
        *(f"{name}.parquet" for name in FILES),
        "validation.json",
        "validation.html",
        "profile.json",
        "splits.json",
    }
    assert one == two
    other, folder = run(tmp_path / "c", *tables, seed=4)
    assert other.candidates_sha256 != one.candidates_sha256
    assert hashes(folder)["interactions.parquet"] == hashes(first)["interactions.parquet"]


@settings(max_examples=4, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.randoms(use_true_random=False))
def test_the_order_of_the_files_rows_changes_nothing(tmp_path_factory: pytest.TempPathFactory, random: Any) -> None:
    """But for equal times of one user: there the order of the file is what tells before from after."""
    interactions, items = raw_tables()
    coarse = interactions.with_columns(pl.col("timestamp") // (20 * DAY) * (20 * DAY))
    assert coarse.select("user_id", "timestamp").is_duplicated().any()
    mixed_items = numbered(items[random.sample(range(len(items)), len(items))], schema.ITEMS)
    one, first = run(tmp_path_factory.mktemp("one"), coarse, items)
    two, second = run(tmp_path_factory.mktemp("two"), shuffled_keeping_ties(coarse, random), mixed_items)
    assert one == two
    assert hashes(first) == hashes(second)


def shuffled_keeping_ties(interactions: pl.DataFrame, random: Any) -> pl.DataFrame:
    """Shuffle the rows; those of one user and time stay in their order, at whatever places."""
    mixed = interactions[random.sample(range(len(interactions)), len(interactions))]
    ordered = mixed.with_columns(pl.col("row").sort().over("user_id", "timestamp"))
    columns = ["user_id", "timestamp", "row"]
    rows = ordered.select(columns).join(interactions, on=columns, how="left", maintain_order="left")
    return numbered(rows.select(interactions.columns), schema.INTERACTIONS)


def test_the_report_counts_every_row_once(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    repeated = pl.concat([interactions, interactions.head(3)])
    bad = repeated.with_columns(
        pl.when(pl.int_range(pl.len()) == 50).then(9.0).otherwise("rating").cast(pl.Float32).alias("rating")
    )
    report, out = run(tmp_path, numbered(bad, schema.INTERACTIONS), items)
    assert report.quarantine == {"interactions": {"rating_out_of_range": 1}}
    assert report.dropped["exact_repeats"] == 3
    left_out = 1 + 3 + report.dropped["interactions_outside_core"]
    assert report.num_interactions == len(bad) - left_out
    assert sum(facts["num_interactions"] for facts in report.slices.values()) == report.num_interactions
    possible = sum(facts["num_interactions"] for name, facts in report.slices.items() if name != "tool_fit")
    lost = report.dropped["samples_without_history"] + report.dropped["samples_with_target_in_history"]
    assert report.num_samples == possible - lost
    assert read_json(out / "splits.json")["candidates_sha256"] == report.candidates_sha256
    assert read_json(out / "validation.json")["quarantine"] == report.quarantine


def test_the_files_have_the_documented_columns(tmp_path: Path) -> None:
    _, out = run(tmp_path, *raw_tables())
    found = {name: dict(pl.read_parquet_schema(out / f"{name}.parquet")) for name in FILES}
    assert found["interactions"] == {
        "user": pl.Int32, "item": pl.Int32, "timestamp": pl.Int64, "rating": pl.Float32, "slice": SLICE_TYPE
    }  # fmt: skip
    assert found["samples"] == {
        "sample_id": pl.Int32,
        "user": pl.Int32,
        "target": pl.Int32,
        "timestamp": pl.Int64,
        "slice": SLICE_TYPE,
        "history_start": pl.Int64,
        "history_end": pl.Int64,
        "target_is_warm": pl.Boolean,
        "candidates": pl.Array(pl.Int32, 5),
        "candidates_popularity": pl.Array(pl.Int32, 5),
    }
    assert list(found["items"]) == ["item", *(name for name in schema.ITEMS if name != "row")]
    assert found["users"] == {"user": pl.Int32, "user_id": pl.String}
    assert list(found["quarantine"]) == ["table", "row", "reason", "content"]


def test_the_planted_kind_of_a_user_travels_with_it(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    users = interactions["user_id"].unique().sort()
    write_raw_data(tmp_path, interactions, items)
    io = stage_io("validated_splits", tmp_path)
    truth = pl.DataFrame({"user_id": users.reverse(), "kind": [f"kind of {user}" for user in users.reverse()]})
    truth.write_parquet(io.layout.artefact("raw_data") / "truth.parquet")
    run_validated_splits(io, splits_config(), seed=3)
    table = pl.read_parquet(io.out / "users.parquet")
    assert table["kind"].to_list() == [f"kind of {user}" for user in table["user_id"]]
    assert table["user_id"].to_list() == sorted(table["user_id"])


@pytest.mark.parametrize(
    "change",
    [
        {"min_interactions_per_user": 7},
        {"min_interactions_per_item": 3},
        {"split": temporal(0.4, 0.2, 0.2, 0.2)},
        {"split": {"kind": "leave_one_out", "policy_train_per_user": 1, "fitted_on": "tool_fit"}},
        {"window": {"first_day": "2020-09-20", "last_day": "2021-01-01"}},
        {"candidates": {"num_candidates": 6, "negatives": "uniform", "further_negatives": ()}},
        {"candidates": {"num_candidates": 5, "negatives": "popularity", "further_negatives": ()}},
    ],
)
def test_every_setting_changes_the_samples(tmp_path: Path, change: dict[str, Any]) -> None:
    interactions, items = raw_tables()
    uneven = interactions.filter(~pl.col("row").is_in([3, 6]))  # the first user keeps six of eight
    base, _ = run(tmp_path / "base", uneven, items)
    changed, _ = run(tmp_path / "changed", uneven, items, config=splits_config(**change))
    assert changed.candidates_sha256 != base.candidates_sha256


def test_a_further_set_of_candidates_leaves_the_agents_set_alone(tmp_path: Path) -> None:
    interactions, items = raw_tables()
    both, out = run(tmp_path / "both", interactions, items)
    alone = {"candidates": {"num_candidates": 5, "negatives": "uniform", "further_negatives": ()}}
    one, out_alone = run(tmp_path / "one", interactions, items, config=splits_config(**alone))
    assert both.candidates_sha256 == one.candidates_sha256
    assert list(both.further_candidates_sha256) == ["candidates_popularity"]
    assert one.further_candidates_sha256 == {}
    samples = pl.read_parquet(out / "samples.parquet")
    assert samples.drop("candidates_popularity").equals(pl.read_parquet(out_alone / "samples.parquet"))
    store = SampleStore.load(out)
    assert store.candidate_kinds == ("candidates", "candidates_popularity")
    for sample_id in store.sample_ids("test").tolist():
        sample = store.sample(sample_id, "candidates_popularity")
        assert sample.candidates.count(sample.target) == 1
        assert not {event.item for event in sample.history} & set(sample.candidates)
    assert (samples["candidates"] != samples["candidates_popularity"]).any()


def test_a_kind_of_negatives_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="named twice"):
        splits_config(candidates={"num_candidates": 5, "negatives": "uniform", "further_negatives": ["uniform"]})


def test_more_candidates_than_items_are_refused(tmp_path: Path) -> None:
    config = splits_config(candidates={"num_candidates": 40, "negatives": "uniform", "further_negatives": ()})
    with pytest.raises(InputError, match=r"num_candidates: found 2\d items"):
        run(tmp_path, *raw_tables(), config=config)


def test_a_slice_without_samples_is_refused(tmp_path: Path) -> None:
    times = {"u0": (0, 1), "u1": (2, 3), "u2": (4, 5), "u3": (6, 7)}
    rows = [
        (user, item, 1_600_000_000_000 + time)
        for user, pair in times.items()
        for item, time in zip("ab", pair, strict=True)
    ]
    interactions = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp"], orient="row")
    interactions = numbered(interactions.with_columns(pl.lit(4.0).alias("rating")), schema.INTERACTIONS)
    _, items = raw_tables()
    items = numbered(items.head(2).with_columns(pl.Series("item_id", ["a", "b"])), schema.ITEMS)
    config = splits_config(
        candidates={"num_candidates": 2, "negatives": "uniform", "further_negatives": ()},
        split=temporal(0.5, 0.125, 0.125, 0.25),
    )
    with pytest.raises(InputError, match=r"slice policy_train: found no sample among 1 interactions"):
        run(tmp_path, interactions, items, config=config)


def test_a_report_holds_plain_values_only(tmp_path: Path) -> None:
    report, _ = run(tmp_path, *raw_tables())
    assert report.slices["tool_fit"]["first_time"].startswith("2020-09-13T")
    assert 0 <= report.slices["test"]["cold_target_fraction"] <= 1

    def plain(value: Any) -> bool:
        if isinstance(value, dict):
            return all(isinstance(key, str) and plain(part) for key, part in value.items())
        return type(value) in (int, float, str)

    assert plain(dataclasses.asdict(report))


def test_hard_candidates_are_left_to_the_stage_that_fits_sasrec(tmp_path: Path) -> None:
    config = splits_config(
        candidates={"num_candidates": 5, "negatives": "sasrec_hard", "further_negatives": ["popularity"]}
    )
    report, out = run(tmp_path, *raw_tables(), config=config)
    columns = pl.read_parquet_schema(out / "samples.parquet")
    assert "candidates" not in columns
    assert "candidates_popularity" in columns
    asked = read_json(out / "splits.json")["candidates"]
    assert asked == {"num_candidates": 5, "negatives": "sasrec_hard", "further_negatives": ["popularity"]}
    assert report.num_samples == len(pl.read_parquet(out / "samples.parquet"))


@pytest.mark.parametrize("num_candidates", ["full", 101, 5000])
def test_more_candidates_than_an_agent_can_name_are_refused_with_the_reason(num_candidates: Any) -> None:
    with pytest.raises(ValueError, match="never the whole catalogue; the stage baselines ranks that"):
        splits_config(candidates={"num_candidates": num_candidates, "negatives": "uniform"})
