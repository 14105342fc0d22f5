"""Requests in words and complements that the simulated store plants: what the tools find of them."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

from benchmarks.planted_requests import complement_ranks, recall_at, request_ranks, table
from recops.config.raw_data import SimulatedStoreConfig
from recops.data.samples import SampleStore
from recops.data.simulated_store import SimulatedStore, simulate
from recops.retrieval.counts import EventCounts, by_item
from recops.retrieval.item_evidence import ItemEvidence
from recops.retrieval.once import Once

NUM_ITEMS = 240


@pytest.fixture(scope="module")
def planted() -> SimulatedStore:
    return simulate(
        SimulatedStoreConfig(
            kind="simulated_store", num_users=800, num_items=NUM_ITEMS, num_days=400, interactions_per_user=9.0, weeks=0
        ),
        seed=3,
    )


@pytest.fixture(scope="module")
def store(planted: SimulatedStore, tmp_path_factory: pytest.TempPathFactory) -> SampleStore:
    """Everything that happened, as `tool_fit` of `validated_splits`, without samples."""
    folder = tmp_path_factory.mktemp("splits")
    items = planted.items.with_columns(pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias("item"))
    users = planted.interactions.select("user_id").unique().sort("user_id")
    users = users.with_columns(pl.int_range(pl.len(), dtype=pl.Int32).alias("user"))
    rows = (
        planted.interactions.join(items.select("item_id", "item"), on="item_id")
        .join(users, on="user_id")
        .sort("user", "timestamp", "row")
        .select("user", "item", "timestamp", "rating", pl.lit("tool_fit").alias("slice"))
    )
    rows.write_parquet(folder / "interactions.parquet")
    items.write_parquet(folder / "items.parquet")
    users.write_parquet(folder / "users.parquet")
    numbers = ("sample_id", "user", "target", "timestamp", "history_start", "history_end")
    schema = {**dict.fromkeys(numbers, pl.Int64), "slice": pl.String, "target_is_warm": pl.Boolean,
              "candidates": pl.List(pl.Int32)}  # fmt: skip
    pl.DataFrame(schema=schema).write_parquet(folder / "samples.parquet")
    return SampleStore.load(folder)


@pytest.fixture(scope="module")
def catalogue(store: SampleStore) -> ItemEvidence:
    known = np.bincount(store.item, minlength=store.num_items + 1) > 0
    vectors = np.zeros((store.num_items + 1, 2), dtype=np.float32)
    rows = Once(lambda: by_item(store.item, store.timestamp))
    counts = EventCounts(store.item, store.timestamp)
    return ItemEvidence(store, vectors, known, counts, rows, exact_search_max=store.num_items)


def test_search_finds_what_a_request_means(
    planted: SimulatedStore, store: SampleStore, catalogue: ItemEvidence
) -> None:
    ranks = request_ranks(store, catalogue, planted.truth.requests)

    assert len(ranks) == len(planted.truth.requests)
    assert recall_at(ranks, 1) > 0.5
    assert recall_at(ranks, 10) > 0.9


def test_what_was_taken_together_holds_the_complements(
    planted: SimulatedStore, store: SampleStore, catalogue: ItemEvidence
) -> None:
    ranks = complement_ranks(store, catalogue, planted.truth.complements)

    assert len(ranks) == len(planted.truth.complements)
    assert recall_at(ranks, 10) > 0.5


def test_the_table_stands_beside_chance(
    planted: SimulatedStore, store: SampleStore, catalogue: ItemEvidence, tmp_path: Path
) -> None:
    planted.truth.requests.write_parquet(tmp_path / "requests.parquet")
    planted.truth.complements.write_parquet(tmp_path / "complements.parquet")

    lines = table(store, catalogue, tmp_path).splitlines()

    assert [line.split(" | ")[0].strip("| ") for line in lines] == [
        "planted", "---|---:|---:|---:|---:|---:", "requests", "complements", "at random",
    ]  # fmt: skip
    assert lines[-1].endswith(f" {10 / store.num_items:.3f} |")
