"""However a source's files are packed or cut into row groups, what is read from them has the same bytes."""

import dataclasses
import gzip
from collections.abc import Callable
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recops.artifacts import file_sha256, write_manifest
from recops.config.raw_data import RawDataConfig
from recops.data import byte_blocks, tables
from recops.data.sources import RawDataReport, run_raw_data
from recops.data.splits import run_validated_splits
from tests.recops.data.small_source import DAY, FIRST_TIME, meta, review, splits_config, stage_io, write_lines

NUM_ROWS = 300
Packing = Callable[[bytes], bytes]


def zstd(content: bytes) -> bytes:
    packed: bytes = pa.compress(content, codec="zstd", asbytes=True)
    return packed


def zstd_in_two_frames(content: bytes) -> bytes:
    """As `zstd` leaves it where two packed files were put together: a frame ends within a line."""
    half = len(content) // 2
    return zstd(content[:half]) + zstd(content[half:])


def read(root: Path, ending: str, pack: Packing) -> tuple[RawDataReport, dict[str, str]]:
    """Return the report, without the source's own hashes, and the SHA-256 of each file of the artefact."""
    files = root / "files"
    files.mkdir(parents=True)
    reviews = write_lines(
        files / "reviews",
        [
            review(user_id=f"u{row % 40}", parent_asin=f"i{row % 7}", timestamp=FIRST_TIME + row // 3 * DAY)
            for row in range(NUM_ROWS)
        ],
    )
    items = write_lines(files / "meta", [meta(parent_asin=f"i{item}", title=f"Lámpara {item}") for item in range(7)])
    for path in (reviews, items):
        path.with_name(f"{path.name}.jsonl{ending}").write_bytes(pack(path.read_bytes()))
    source = {"kind": "amazon_reviews_2023", "folder": str(files)}
    names = {"reviews": f"reviews.jsonl{ending}", "meta": f"meta.jsonl{ending}"}
    io = stage_io("raw_data", root)
    report = run_raw_data(io, RawDataConfig.model_validate({"source": {**source, **names}}), seed=7)
    assert report.source_sha256 == {name: file_sha256(files / name) for name in names.values()}
    return dataclasses.replace(report, source_sha256={}), {path.name: file_sha256(path) for path in io.out.iterdir()}


@pytest.mark.parametrize("block_bytes", [byte_blocks.BLOCK_BYTES, 1000])
@pytest.mark.parametrize(("ending", "pack"), [(".zst", zstd), (".zst", zstd_in_two_frames), (".gz", gzip.compress)])
def test_a_packed_source_gives_the_bytes_of_the_plain_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ending: str, pack: Packing, block_bytes: int
) -> None:
    plain = read(tmp_path / "plain", "", bytes)
    monkeypatch.setattr(byte_blocks, "BLOCK_BYTES", block_bytes)
    packed = read(tmp_path / "packed", ending, pack)
    assert packed == plain
    assert packed[0].num_interactions == NUM_ROWS
    assert set(packed[1]) == {"interactions.parquet", "items.parquet"}


def shop_tables() -> tuple[pl.DataFrame, pl.DataFrame]:
    """Nobody sorted these rows, and most of them share their user and day with others: only their order tells."""
    generator = np.random.default_rng(3)
    events = pl.DataFrame(
        {
            "who": [f"u{user}" for user in generator.integers(0, 12, NUM_ROWS)],
            "sku": [f"i{item:02d}" for item in generator.integers(0, 40, NUM_ROWS)],
            "when": [FIRST_TIME + int(day) * DAY for day in generator.integers(0, 30, NUM_ROWS)],
        }
    )
    items = pl.DataFrame({"sku": [f"i{item:02d}" for item in range(40)], "name": [f"Thing {n}" for n in range(40)]})
    return events, items


def shop_config(folder: Path) -> RawDataConfig:
    columns = {"user": "who", "item": "sku", "time": "when", "rating": None, "event": None}
    absent = dict.fromkeys(("category", "store", "price", "average_rating", "description"))
    source = {
        "kind": "files",
        "folder": str(folder),
        "csv": None,
        "interactions": {
            "files": "events.parquet",
            "columns": columns,
            "time_unit": "ms",
            "rating_range": None,
            "events": None,
        },
        "items": {"files": "items.parquet", "columns": {"id": "sku", "title": "name", **absent}, "rating_range": None},
    }
    return RawDataConfig.model_validate({"source": source})


def read_shop(root: Path, rows_per_group: int) -> tuple[pl.DataFrame, dict[str, str]]:
    """Return the interactions as read, and the SHA-256 of every file of both stages that depends on rows alone."""
    files = root / "files"
    files.mkdir(parents=True)
    for name, table in zip(("events", "items"), shop_tables(), strict=True):
        pq.write_table(table.to_arrow(), files / f"{name}.parquet", row_group_size=rows_per_group)
    raw = stage_io("raw_data", root)
    report = run_raw_data(raw, shop_config(files), seed=7)
    write_manifest(raw.out, {"report": dataclasses.asdict(report)})
    splits = stage_io("validated_splits", root)
    run_validated_splits(splits, splits_config(), seed=7)
    tables_of = [path for io in (raw, splits) for path in sorted(io.out.glob("*.parquet"))]
    return pl.read_parquet(raw.out / "interactions.parquet"), {
        f"{path.parent.name}/{path.name}": file_sha256(path) for path in tables_of
    }


@pytest.mark.parametrize("rows_per_group", [1, 7])
@pytest.mark.parametrize("batch_rows", [tables._BATCH_ROWS, 10])
def test_rows_keep_their_order_over_many_row_groups(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rows_per_group: int, batch_rows: int
) -> None:
    _, whole = read_shop(tmp_path / "whole", NUM_ROWS)
    monkeypatch.setattr(tables, "_BATCH_ROWS", batch_rows)
    rows, cut = read_shop(tmp_path / "cut", rows_per_group)
    assert pq.ParquetFile(tmp_path / "cut" / "files" / "events.parquet").num_row_groups == -(
        -NUM_ROWS // rows_per_group
    )
    events = shop_tables()[0]
    assert rows["row"].to_list() == list(range(1, NUM_ROWS + 1))
    assert rows.select("user_id", "item_id", "timestamp").rows() == events.rows()
    assert cut == whole
    assert {"raw_data/interactions.parquet", "validated_splits/samples.parquet"} <= set(cut)
