from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recops.data.samples import SAMPLED_SLICES, SLICE_CODES, SampleStore
from recops.data.splits import run_validated_splits
from recops.records import Event
from tests.recops.data.small_source import raw_tables, splits_config, stage_io, write_raw_data


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> SampleStore:
    root: Path = tmp_path_factory.mktemp("samples")
    interactions, items = raw_tables()
    write_raw_data(root, interactions.with_columns(interactions["rating"].replace(3.0, None)), items)
    io = stage_io("validated_splits", root)
    run_validated_splits(io, splits_config(), seed=3)
    return SampleStore.load(io.out)


def test_events_have_the_weights_of_the_source_or_none(store: SampleStore, tmp_path: Path) -> None:
    assert store.weight is None
    interactions, items = raw_tables()
    weighed = interactions.with_columns((pl.col("row") / 4).cast(pl.Float32).alias("weight"))
    write_raw_data(tmp_path, weighed, items)
    io = stage_io("validated_splits", tmp_path)
    run_validated_splits(io, splits_config(), seed=3)
    other = SampleStore.load(io.out)
    assert other.weight is not None
    rows = pl.read_parquet(io.out / "interactions.parquet").join(other.users, on="user").join(other.items, on="item")
    expected = rows.join(
        weighed.select("user_id", "item_id", "timestamp", "row"), on=["user_id", "item_id", "timestamp"]
    )
    assert len(expected) == len(other.weight)
    assert (expected["weight"] == (expected["row"] / 4).cast(pl.Float32)).all()
    assert sorted(expected["weight"].to_list()) == sorted(other.weight.tolist())


def test_every_sample_belongs_to_one_sampled_slice(store: SampleStore) -> None:
    ids = np.concatenate([store.sample_ids(name) for name in SAMPLED_SLICES])
    assert sorted(ids.tolist()) == list(range(len(ids)))
    for name in SAMPLED_SLICES:
        assert {store.sample(sample_id).slice for sample_id in store.sample_ids(name)} == {name}


def test_a_samples_history_is_everything_of_its_user_before_the_target(store: SampleStore) -> None:
    for sample_id in np.concatenate([store.sample_ids(name) for name in SAMPLED_SLICES]):
        sample = store.sample(int(sample_id))
        rows = store.user_rows(sample.user)
        earlier = np.flatnonzero(store.timestamp[rows] < sample.timestamp)
        assert [event.item for event in sample.history] == store.item[rows][earlier].tolist()
        assert all(event.timestamp < sample.timestamp for event in sample.history)
        assert sample.candidates.count(sample.target) == 1
        assert not {event.item for event in sample.history} & set(sample.candidates)
        assert sample.target_is_warm == bool(np.any(store.item[store.slice_code == 0] == sample.target))


def test_an_absent_rating_is_none_in_a_history_and_nan_in_the_array(store: SampleStore) -> None:
    events = [event for name in SAMPLED_SLICES for i in store.sample_ids(name) for event in store.sample(i).history]
    assert any(event.rating is None for event in events)
    assert all(event.rating is None or event.rating in (1, 2, 4, 5) for event in events)
    assert np.isnan(store.rating).any()


def test_rows_are_sorted_by_user_and_time_and_each_users_rows_are_found(store: SampleStore) -> None:
    assert store.user.tolist() == sorted(store.user.tolist())
    for user in range(store.num_users):
        rows = store.user_rows(user)
        assert set(store.user[rows].tolist()) == {user}
        assert np.all(np.diff(store.timestamp[rows]) >= 0)
    assert store.user_rows(store.num_users - 1).stop == len(store.user)


def test_items_count_from_one_and_users_from_zero(store: SampleStore) -> None:
    assert store.items["item"].to_list() == list(range(1, store.num_items + 1))
    assert store.users["user"].to_list() == list(range(store.num_users))
    assert store.item.min() >= 1
    assert store.item.max() <= store.num_items


def test_nothing_in_the_store_can_be_overwritten(store: SampleStore) -> None:
    for array in (store.user, store.item, store.timestamp, store.rating, store.slice_code):
        with pytest.raises(ValueError, match="read-only"):
            array[0] = 1
    sample = store.sample(0)
    assert isinstance(sample.history, tuple)
    assert isinstance(sample.history[0], Event)


def test_a_sample_that_does_not_exist_is_refused(store: SampleStore) -> None:
    with pytest.raises(IndexError, match="found 100000; expected 0 to"):
        store.sample(100_000)
    with pytest.raises(IndexError, match="found -1"):
        store.sample(-1)


def test_tool_fit_has_no_samples_to_ask_for(store: SampleStore) -> None:
    assert list(SLICE_CODES) == ["tool_fit", *SAMPLED_SLICES]
    with pytest.raises(AssertionError, match="tool_fit has no samples"):
        store.sample_ids("tool_fit")
