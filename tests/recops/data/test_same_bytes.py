"""However a source's files are packed, what is read from them has the same bytes."""

import dataclasses
import gzip
from collections.abc import Callable
from pathlib import Path

import pyarrow as pa
import pytest

from recops.artifacts import file_sha256
from recops.config.raw_data import RawDataConfig
from recops.data import byte_blocks
from recops.data.sources import RawDataReport, run_raw_data
from tests.recops.data.small_source import DAY, FIRST_TIME, meta, review, stage_io, write_lines

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
