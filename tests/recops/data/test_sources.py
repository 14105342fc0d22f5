import dataclasses
import os
from pathlib import Path

import polars as pl
import pytest

from recops.artifacts import file_sha256, read_json, write_manifest
from recops.config.raw_data import RawDataConfig
from recops.config.recipe import load_recipe
from recops.data import schema
from recops.data.amazon_reviews_2023 import read_reviews
from recops.data.samples import SAMPLED_SLICES, SampleStore
from recops.data.source_files import source_folder
from recops.data.sources import run_raw_data
from recops.data.splits import run_validated_splits
from recops.errors import InputError
from tests.recops.data.small_source import meta, review, stage_io, write_lines

ROOT = Path(__file__).parents[3]
REAL = Path(os.environ.get("RECOPS_DATA", ROOT.parent / "shared" / "data"))
SIMULATED = {
    "kind": "simulated_store",
    "num_users": 30,
    "num_items": 50,
    "num_days": 60,
    "interactions_per_user": 5.0,
    "weeks": 0,
}

needs_real_data = pytest.mark.skipif(
    not (REAL / "amazon2023_electronics_small").is_dir(),
    reason=f"no real data below {REAL}; set RECOPS_DATA to the folder that holds it",
)


def amazon(folder: str, meta_name: str = "meta.jsonl.gz") -> RawDataConfig:
    source = {"kind": "amazon_reviews_2023", "folder": folder, "reviews": "reviews.jsonl", "meta": meta_name}
    return RawDataConfig.model_validate({"source": source})


def publish(folder: Path) -> Path:
    folder.mkdir(parents=True)
    write_lines(folder / "reviews.jsonl", [review(), review(user_id="u2", rating=None)])
    write_lines(folder / "meta.jsonl.gz", [meta()])
    return folder


def test_the_simulated_store_is_written_in_the_documented_schema_with_its_truth(tmp_path: Path) -> None:
    io = stage_io("raw_data", tmp_path)
    report = run_raw_data(io, RawDataConfig.model_validate({"source": SIMULATED}), seed=7)
    assert dict(pl.read_parquet_schema(io.out / "interactions.parquet")) == schema.INTERACTIONS
    assert dict(pl.read_parquet_schema(io.out / "items.parquet")) == schema.ITEMS
    text = {"user_id": pl.String, "kind": pl.String, "store": pl.String}
    users = {**text, "community": pl.Int32, "first_step": pl.Int32}
    assert dict(pl.read_parquet_schema(io.out / "truth.parquet")) == users
    assert (report.source, report.num_items, report.source_sha256) == ("simulated_store", 50, {})
    assert sum(report.users_per_kind.values()) == 30


def test_the_same_seed_gives_the_same_bytes(tmp_path: Path) -> None:
    config = RawDataConfig.model_validate({"source": SIMULATED})
    found = []
    for name in ("one", "two"):
        io = stage_io("raw_data", tmp_path / name)
        report = run_raw_data(io, config, seed=7)
        found.append((report, {path.name: file_sha256(path) for path in io.out.iterdir()}))
    assert found[0] == found[1]


def test_published_files_are_read_and_their_hashes_reported(tmp_path: Path) -> None:
    folder = publish(tmp_path / "published")
    io = stage_io("raw_data", tmp_path / "root")
    report = run_raw_data(io, amazon(str(folder)), seed=7)
    assert dict(pl.read_parquet_schema(io.out / "interactions.parquet")) == schema.INTERACTIONS
    assert not (io.out / "truth.parquet").exists()
    assert dataclasses.asdict(report) == {
        "source": "amazon_reviews_2023",
        "num_users": 2,
        "num_items": 1,
        "num_interactions": 2,
        "first_time": "2020-09-13T12:26:40.000+00:00",
        "last_time": "2020-09-13T12:26:40.000+00:00",
        "left_out": {},
        "num_without": {"rating": 1, "title": 0, "category": 0, "store": 0, "price": 0},
        "users_per_kind": {},
        "source_sha256": {name: file_sha256(folder / name) for name in ("reviews.jsonl", "meta.jsonl.gz")},
    }


def test_a_folder_comes_from_the_environment_and_is_relative_to_the_project(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STORE_DATA", "sets")
    publish(tmp_path / "sets" / "shop")
    io = stage_io("raw_data", tmp_path)
    assert run_raw_data(io, amazon("${STORE_DATA}/shop"), seed=7).num_interactions == 2
    assert source_folder(Path("${ABSENT_DATA:-../other}/x"), tmp_path / "root") == tmp_path / "other" / "x"
    monkeypatch.delenv("STORE_DATA")
    with pytest.raises(InputError, match=r"raw_data\.source\.folder: found \$\{STORE_DATA\}, which is not set"):
        source_folder(Path("${STORE_DATA}/shop"), tmp_path)


def test_several_files_are_read_in_order_and_their_rows_counted_on(tmp_path: Path) -> None:
    folder = publish(tmp_path / "published")
    (folder / "more").mkdir()
    write_lines(folder / "more" / "2.jsonl.gz", [review(user_id="u3"), review(user_id="u4")])
    write_lines(folder / "more" / "1.jsonl", ["", review(user_id="u5")])
    content = {"kind": "amazon_reviews_2023", "folder": str(folder), "meta": ["meta.jsonl.gz"]}
    config = RawDataConfig.model_validate({"source": {**content, "reviews": ["reviews.jsonl", "more/*"]}})
    io = stage_io("raw_data", tmp_path)
    report = run_raw_data(io, config, seed=7)
    table = pl.read_parquet(io.out / "interactions.parquet")
    assert table["user_id"].to_list() == ["u1", "u2", "u5", "u3", "u4"]
    assert table["row"].to_list() == [1, 2, 4, 5, 6]
    assert set(report.source_sha256) == {"reviews.jsonl", "more/1.jsonl", "more/2.jsonl.gz", "meta.jsonl.gz"}


def test_a_bad_line_leaves_no_finished_table(tmp_path: Path) -> None:
    folder = publish(tmp_path / "published")
    write_lines(folder / "reviews.jsonl", [review(), "{"])
    with pytest.raises(InputError, match=r"reviews\.jsonl, line 2"):
        run_raw_data(stage_io("raw_data", tmp_path), amazon(str(folder)), seed=7)


def test_a_missing_file_names_itself_and_the_files_that_are_there(tmp_path: Path) -> None:
    folder = publish(tmp_path / "published")
    with pytest.raises(InputError, match=r"meta\.json: found no such file; the folder holds meta\.jsonl\.gz, reviews"):
        run_raw_data(stage_io("raw_data", tmp_path), amazon(str(folder), "meta.json"), seed=7)


def test_a_time_that_no_calendar_holds_is_left_to_the_next_stage(tmp_path: Path) -> None:
    folder = publish(tmp_path / "published")
    write_lines(folder / "reviews.jsonl", [review(timestamp=2**62)])
    report = run_raw_data(stage_io("raw_data", tmp_path), amazon(str(folder)), seed=7)
    assert report.first_time is None


@needs_real_data
@pytest.mark.parametrize("name", ["electronics_small", pytest.param("electronics", marks=pytest.mark.slow)])
def test_the_published_electronics_go_through_with_their_published_counts(
    name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOPS_DATA", str(REAL))
    recipe = load_recipe(ROOT / "recipes" / f"{name}.yaml")
    io = stage_io("raw_data", tmp_path)
    raw = run_raw_data(io, recipe.raw_data, seed=recipe.seed)
    write_manifest(io.out, {})
    published = read_json(REAL / f"amazon2023_{name}" / "stats.json")
    assert raw.num_users == published["users"]
    assert raw.num_items == published["items_in_meta"]
    assert raw.num_interactions == published["interactions"]
    assert raw.source_sha256 == {name: facts["sha256"] for name, facts in published["files"].items()}
    io = stage_io("validated_splits", tmp_path)
    splits = run_validated_splits(io, recipe.validated_splits, seed=recipe.seed)
    assert splits.quarantine == {}
    assert splits.dropped["exact_repeats"] == published["rows_repeating_user_item_timestamp"]
    store = SampleStore.load(io.out)
    for slice_name in SAMPLED_SLICES:
        sample = store.sample(int(store.sample_ids(slice_name)[0]))
        assert sample.candidates.count(sample.target) == 1


@needs_real_data
@pytest.mark.parametrize(
    ("name", "num_reviews", "num_users", "num_items"),
    [("Musical_Instruments_sample", 5005, 3000, 3934), ("Subscription_Boxes", 16216, 15237, 641)],
)
def test_published_reviews_are_read_unchanged(name: str, num_reviews: int, num_users: int, num_items: int) -> None:
    table = pl.concat(read_reviews(REAL / "amazon2023_raw_samples" / f"{name}.jsonl.gz"))
    assert (len(table), table["user_id"].n_unique(), table["item_id"].n_unique()) == (num_reviews, num_users, num_items)
    assert table.null_count().row(0) == (0, 0, 0, 0, 0)
