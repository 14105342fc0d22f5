from pathlib import Path

import polars as pl
import pyarrow.parquet as pq
import pytest

from recops.artifacts import file_sha256
from recops.data import schema
from recops.data.table_file import numbered_on, write_table
from tests.recops.data.small_source import raw_tables

INTERACTIONS, _ = raw_tables()


def test_how_rows_are_spread_over_frames_changes_no_byte(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops.data.table_file.ROWS_PER_GROUP", 10)
    digests = set()
    for size in (1, 7, 10, 96):
        path = tmp_path / f"{size}.parquet"
        write_table(INTERACTIONS.iter_slices(size), path, schema.INTERACTIONS)
        assert pl.read_parquet(path).equals(INTERACTIONS)
        digests.add(file_sha256(path))
    assert len(digests) == 1
    assert pq.ParquetFile(path).num_row_groups == 10


def test_where_large_frames_meet_changes_no_byte(tmp_path: Path) -> None:
    ids = pl.Series([f"{number:028d}" for number in range(60_000)])
    interactions = pl.concat([INTERACTIONS.head(1)] * len(ids)).with_columns(user_id=ids)
    digests = set()
    for size in (7_001, 60_000):
        write_table(interactions.iter_slices(size), tmp_path / "x.parquet", schema.INTERACTIONS)
        digests.add(file_sha256(tmp_path / "x.parquet"))
    assert len(digests) == 1


def test_only_columns_whose_values_recur_have_a_dictionary(tmp_path: Path) -> None:
    write_table([INTERACTIONS], tmp_path / "x.parquet", schema.INTERACTIONS)
    group = pq.ParquetFile(tmp_path / "x.parquet").metadata.row_group(0)
    columns = [group.column(place) for place in range(group.num_columns)]
    assert [one.path_in_schema for one in columns if one.has_dictionary_page] == ["item_id", "rating"]


def test_a_table_without_frames_has_its_columns(tmp_path: Path) -> None:
    write_table([], tmp_path / "x.parquet", schema.ITEMS)
    assert dict(pl.read_parquet_schema(tmp_path / "x.parquet")) == schema.ITEMS


def test_rows_are_counted_on_from_file_to_file() -> None:
    one, two = (pl.DataFrame({"row": [1, 3]}), pl.DataFrame({"row": [4]})), (pl.DataFrame({"row": [2]}),)
    assert pl.concat(numbered_on([one, two]))["row"].to_list() == [1, 3, 4, 6]
