"""Each recipe of a published protocol, on a small file in the true format of its data set."""

from dataclasses import asdict
from datetime import UTC, datetime
from itertools import pairwise
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recops.artifacts import read_json, write_manifest
from recops.config.recipe import Recipe, load_recipe
from recops.data.sources import run_raw_data
from recops.data.splits import SplitsReport, run_validated_splits
from recops.paths import Layout
from tests.recops.data.small_source import DAY, meta, review, stage_io, write_lines

RECIPES = Path(__file__).parents[3] / "recipes"
AGENTICREC = ("agenticrec_cds", "agenticrec_instruments", "agenticrec_office", "agenticrec_games")
NUM_USERS, NUM_ITEMS, EVENTS = 120, 130, 10
WINDOW_START = int(datetime(2022, 10, 1, tzinfo=UTC).timestamp()) * 1000
DAYS_OF_WINDOW = 396  # 2022-10-01 to 2023-10-31


@pytest.fixture
def published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECOPS_DATA", str(tmp_path / "published"))
    return tmp_path / "published"


def taken() -> list[tuple[int, int, int]]:
    """(user, item, day of the window): each user takes ten items at ten times."""
    generator = np.random.default_rng(3)
    return [
        (user, int(item), int(day))
        for user in range(NUM_USERS)
        for item, day in zip(
            generator.choice(NUM_ITEMS, EVENTS, replace=False),
            generator.choice(DAYS_OF_WINDOW, EVENTS, replace=False),
            strict=True,
        )
    ]


def stars(item: int) -> float:
    """Every rating there is: the papers state no filter of ratings."""
    return 1.0 + item % 5


def write_amazon(folder: Path, recipe: Recipe) -> None:
    source = recipe.raw_data.source
    assert source.kind == "amazon_reviews_2023"
    folder.mkdir(parents=True)
    lines = [
        review(
            user_id=f"U{user}", parent_asin=f"B{item}", timestamp=WINDOW_START + day * DAY + user, rating=stars(item)
        )
        for user, item, day in taken()
    ]
    lines.append(review(user_id="once", parent_asin="B0", timestamp=WINDOW_START))
    outside = [review(user_id="U0", parent_asin="B0", timestamp=WINDOW_START + day * DAY) for day in (-1, 396)]
    write_lines(folder / str(source.reviews), [*lines, *outside])
    write_lines(folder / str(source.meta), [meta(parent_asin=f"B{item}") for item in range(NUM_ITEMS)])


def write_movielens(folder: Path) -> None:
    folder.mkdir(parents=True)
    ratings = [
        f"{user + 1}::{item + 1}::{stars(item):.0f}::{978_300_000 + 86_400 * day}" for user, item, day in taken()
    ]
    (folder / "ratings.dat").write_text("\n".join(ratings) + "\n", encoding="latin-1")
    movies = [f"{item + 1}::Amélie {item} (2001)::Comedy|Romance" for item in range(NUM_ITEMS)]
    (folder / "movies.dat").write_text("\n".join(movies) + "\n", encoding="latin-1")


def splits_of(root: Path, recipe: Recipe) -> tuple[SplitsReport, Path]:
    raw = stage_io("raw_data", root)
    report = run_raw_data(raw, recipe.raw_data, seed=recipe.seed)
    write_manifest(raw.out, {"report": asdict(report)})
    found = run_validated_splits(stage_io("validated_splits", root), recipe.validated_splits, seed=recipe.seed)
    return found, Layout(root, "small").artefact("validated_splits")


def check_candidates(folder: Path, num_candidates: int) -> None:
    """One positive, the others outside of the user's history, of both kinds that the recipe freezes."""
    samples = pl.read_parquet(folder / "samples.parquet")
    items = pl.read_parquet(folder / "interactions.parquet")["item"].to_numpy()
    counts = np.bincount(items)
    even, weighted = counts[1:].mean(), (counts**2).sum() / counts.sum()
    for column in ("candidates", "candidates_popularity"):
        negatives = []
        for row in samples.select(column, "target", "history_start", "history_end").iter_rows():
            candidates, target, start, end = row
            assert target == items[end]
            assert candidates.count(target) == 1
            assert len(set(candidates)) == num_candidates
            assert not set(candidates) & set(items[start:end].tolist())
            negatives += [item for item in candidates if item != target]
        # How often a negative was taken is on average that of an item, or that of an interaction.
        assert (counts[negatives].mean() > (even + weighted) / 2) == (column == "candidates_popularity")


@pytest.mark.parametrize("name", AGENTICREC)
def test_agenticrec_is_cut_8_1_1_by_time_within_its_window(published: Path, tmp_path: Path, name: str) -> None:
    recipe = load_recipe(RECIPES / f"{name}.yaml")
    write_amazon(published / "amazon_reviews_2023", recipe)
    report, folder = splits_of(tmp_path, recipe)
    assert report.dropped["interactions_outside_window"] == 2
    assert report.dropped["interactions_outside_core"] == 1  # of who took one thing, and so has no sample
    assert report.num_interactions == NUM_USERS * EVENTS
    rows = {one: report.slices[one]["num_interactions"] for one in report.slices}
    assert rows == {"tool_fit": 0, "policy_train": 960, "valid": 120, "test": 120}
    assert report.num_samples == NUM_USERS * (EVENTS - 1)  # one per interaction with a history
    assert read_json(folder / "splits.json")["fitted_slices"] == ["tool_fit", "policy_train"]
    samples = pl.read_parquet(folder / "samples.parquet")
    assert samples["candidates"].dtype == pl.Array(pl.Int32, 20)
    check_candidates(folder, 20)
    kept = pl.read_parquet(folder / "interactions.parquet")
    assert set(kept["rating"]) == {1.0, 2.0, 3.0, 4.0, 5.0}
    for older, newer in pairwise(("policy_train", "valid", "test")):
        last = kept.filter(pl.col("slice") == older)["timestamp"].to_numpy().max()
        assert last < kept.filter(pl.col("slice") == newer)["timestamp"].to_numpy().min()


def test_recthinker_leaves_the_last_movie_of_each_user_out(published: Path, tmp_path: Path) -> None:
    recipe = load_recipe(RECIPES / "recthinker_ml1m.yaml")
    write_movielens(published / "ml-1m")
    report, folder = splits_of(tmp_path, recipe)
    samples = pl.read_parquet(folder / "samples.parquet")
    per_user = samples.group_by("user").agg(pl.col("slice").cast(pl.String).sort_by("history_end"))
    assert len(per_user) == report.num_users == NUM_USERS
    assert all(slices.to_list() == ["policy_train", "valid", "test"] for slices in per_user["slice"])
    rows = pl.read_parquet(folder / "interactions.parquet").with_row_index("place")
    last = rows.group_by("user", maintain_order=True).agg(pl.col("place").max())["place"]
    assert samples.filter(pl.col("slice") == "test")["history_end"].to_list() == last.to_list()
    assert len(rows) < NUM_USERS * EVENTS  # some movies of the file have fewer than five ratings
    assert all(rows.group_by(name).len()["len"].ge(5).all() for name in ("user", "item"))
    assert samples["candidates"].dtype == pl.Array(pl.Int32, 10)
    check_candidates(folder, 10)
    assert set(rows["rating"]) == {1.0, 2.0, 3.0, 4.0, 5.0}
    assert recipe.evaluation_reports.max_samples == 100  # the published test users, a sample each
