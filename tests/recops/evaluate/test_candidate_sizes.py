"""From files to ranks: sets of 10, 20 and 100 candidates and the whole catalogue, against a count by hand."""

from dataclasses import asdict
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recops.artifacts import write_manifest
from recops.config.raw_data import RawDataConfig
from recops.data.sources import run_raw_data
from recops.data.splits import run_validated_splits
from recops.evaluate.baselines import run_baselines
from recops.retrieval.fit import run_sasrec
from tests.recops.data.small_source import splits_config, stage_io, temporal
from tests.recops.evaluate.baseline_settings import CONFIG, FULL_AGENT
from tests.recops.retrieval.small_splits import SASREC

NUM_USERS, NUM_ITEMS, EVENTS = 40, 130, 12
NO_TEXT = FULL_AGENT.model_copy(update={"tools": ("rank_by_popularity",)})


def write_movielens(folder: Path) -> None:
    """Some movies are rated much more often than others: counts that differ make ranks that differ."""
    folder.mkdir()
    generator, chances = np.random.default_rng(3), 1.0 / np.arange(5, NUM_ITEMS + 5)
    times = 978_300_000 + 3_600 * generator.permutation(NUM_USERS * EVENTS)
    taken = [generator.choice(NUM_ITEMS, EVENTS, replace=False, p=chances / chances.sum()) for _ in range(NUM_USERS)]
    lines = [
        f"{number // EVENTS + 1}::{item + 1}::4::{time}"
        for number, (item, time) in enumerate(zip(np.concatenate(taken), times, strict=True))
    ]
    (folder / "ratings.dat").write_text("\n".join(lines) + "\n", encoding="latin-1")
    movies = [f"{item + 1}::Movie {item} (2001)::Comedy" for item in range(NUM_ITEMS)]
    (folder / "movies.dat").write_text("\n".join(movies) + "\n", encoding="latin-1")


def measured(root: Path, num_candidates: int) -> tuple[Path, Path]:
    """Return the folders of `validated_splits` and `baselines`, of stages that ran from files."""
    write_movielens(root / "movies")
    raw = stage_io("raw_data", root)
    source = {"kind": "movielens", "folder": str(root / "movies")}
    report = run_raw_data(raw, RawDataConfig.model_validate({"source": source}), seed=7)
    write_manifest(raw.out, {"report": asdict(report)})
    splits = stage_io("validated_splits", root)
    candidates = {"num_candidates": num_candidates, "negatives": "uniform", "further_negatives": []}
    config = splits_config(candidates=candidates, min_interactions_per_item=1, split=temporal(0.5, 0.2, 0.15, 0.15))
    run_validated_splits(splits, config, seed=7)
    write_manifest(splits.out, {})
    sasrec = stage_io("sasrec_embeddings", root)
    sasrec.checkpoints.mkdir(parents=True)
    run_sasrec(sasrec, SASREC.model_copy(update={"max_epochs": 1}), seed=7)
    write_manifest(sasrec.out, {})
    out = stage_io("baselines", root)
    settings = CONFIG.model_copy(update={"systems": ("popularity",), "popularity_windows_days": (), "references": ()})
    run_baselines(out, settings, seed=7, agent=NO_TEXT)
    return splits.out, out.out


def bounds_by_hand(splits: Path, *, whole: bool) -> dict[int, tuple[int, int]]:
    """Return by sample how many items were taken more often before it than the target, and at least as often."""
    items, times = (pl.read_parquet(splits / "interactions.parquet")[name].to_numpy() for name in ("item", "timestamp"))
    num_items = len(pl.read_parquet(splits / "items.parquet"))
    bounds = {}
    for row in pl.read_parquet(splits / "samples.parquet").iter_rows(named=True):
        history = set(items[row["history_start"] : row["history_end"]].tolist())
        others = (set(range(1, num_items + 1)) - history if whole else set(row["candidates"])) - {row["target"]}
        earlier = items[times < row["timestamp"]]
        counts = [int((earlier == item).sum()) for item in others]
        mine = int((earlier == row["target"]).sum())
        bounds[row["sample_id"]] = (sum(one > mine for one in counts), sum(one >= mine for one in counts))
    return bounds


@pytest.mark.parametrize("num_candidates", [10, 20, 100])
def test_a_target_is_ranked_among_as_many_as_the_recipe_says_and_in_the_catalogue(
    tmp_path: Path, num_candidates: int
) -> None:
    splits, baselines = measured(tmp_path, num_candidates)
    samples = pl.read_parquet(splits / "samples.parquet")
    assert samples["candidates"].dtype == pl.Array(pl.Int32, num_candidates)
    assert samples["candidates"].arr.n_unique().to_list() == [num_candidates] * len(samples)
    rankings = pl.read_parquet(baselines / "rankings.parquet").filter(pl.col("system") == "popularity")
    tested = samples.filter(pl.col("slice").cast(pl.String).is_in(["valid", "test"]))["sample_id"].to_list()
    for ranked in ("candidates", "catalogue"):
        found = rankings.filter(pl.col("ranked") == ranked)
        assert sorted(found["sample_id"]) == sorted(tested)
        bounds = bounds_by_hand(splits, whole=ranked == "catalogue")
        for sample_id, rank in found.select("sample_id", "rank").iter_rows():
            assert bounds[sample_id][0] <= rank <= bounds[sample_id][1]
        assert any(most == least for least, most in bounds.values()), "some ranks leave no choice"
