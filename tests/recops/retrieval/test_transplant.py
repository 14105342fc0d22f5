from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recops.errors import InputError
from recops.retrieval.evidence import Evidence
from recops.retrieval.transplant import places, transplant_sasrec
from tests.recops.agent.world import AGENT
from tests.recops.evaluate.small_pipeline import NUM_ITEMS, write_sasrec, write_splits


def reordered(splits: Path) -> None:
    """Turn the catalogue round and put a new item first; the user with number n becomes n + 1."""
    items = pl.read_parquet(splits / "items.parquet").reverse()
    new = items.head(1).with_columns(pl.lit("new").alias("item_id"))
    items = pl.concat([new, items]).with_columns(item=pl.int_range(1, pl.len() + 1, dtype=pl.Int32))
    items.write_parquet(splits / "items.parquet")
    moved = {"item": NUM_ITEMS + 2 - pl.col("item"), "user": pl.col("user") + 1}
    rows = pl.read_parquet(splits / "interactions.parquet").with_columns(**moved)
    rows.write_parquet(splits / "interactions.parquet")
    users = pl.read_parquet(splits / "users.parquet")
    new_user = users.head(1).with_columns(pl.lit("new").alias("user_id"))
    users = pl.concat([new_user, users]).with_columns(user=pl.int_range(pl.len()))
    users.write_parquet(splits / "users.parquet")
    samples = pl.read_parquet(splits / "samples.parquet").with_columns(
        target=NUM_ITEMS + 2 - pl.col("target"),
        user=pl.col("user") + 1,
        candidates=pl.col("candidates").list.eval(NUM_ITEMS + 2 - pl.element()).cast(pl.List(pl.Int32)),
    )
    samples.write_parquet(splits / "samples.parquet")


def test_a_model_says_the_same_of_the_same_items_and_users_on_newer_data(tmp_path: Path) -> None:
    splits, sasrec = write_splits(tmp_path / "splits"), write_sasrec(tmp_path / "sasrec")
    newer, out = write_splits(tmp_path / "newer"), tmp_path / "out"
    reordered(newer)
    out.mkdir()
    transplant_sasrec(sasrec, splits=splits, newer=newer, out=out)
    before, after = Evidence.load(splits, sasrec, AGENT, 3), Evidence.load(newer, out, AGENT, 3)
    for sample_id in before.store.sample_ids("test").tolist():
        one, other = before.store.sample(sample_id), after.store.sample(sample_id)
        items = np.arange(1, NUM_ITEMS + 1)
        for name in ("next_item", "similar_users"):
            expected = getattr(before, name)(one, items.tolist())
            found = getattr(after, name)(other, (NUM_ITEMS + 2 - items).tolist())
            np.testing.assert_allclose(found, expected, rtol=1e-5)
        assert np.isnan(after.next_item(other, [1])).all()
        assert np.isfinite(before.next_item(one, [1])).all()


def test_data_of_another_shop_is_refused(tmp_path: Path) -> None:
    splits, sasrec = write_splits(tmp_path / "splits"), write_sasrec(tmp_path / "sasrec")
    for table, column, message in (
        ("items", "item_id", "no item that the model knows"),
        ("users", "user_id", "no user that the model knows"),
    ):
        other, out = write_splits(tmp_path / table), tmp_path / f"{table} out"
        out.mkdir()
        file = other / f"{table}.parquet"
        pl.read_parquet(file).with_columns(pl.concat_str(pl.lit("other "), column).alias(column)).write_parquet(file)
        with pytest.raises(InputError, match=message):
            transplant_sasrec(sasrec, splits=splits, newer=other, out=out)


def test_places_are_by_id() -> None:
    assert places(pl.Series(["a", "b", "c"]), pl.Series(["c", "x", "a"])).tolist() == [2, -1, 0]
