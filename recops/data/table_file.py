"""Parquet files written frame by frame: memory is a row group, whatever the number of rows."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow.parquet as pq

from recops.data.schema import RECURRING, Schema, in_schema

ROWS_PER_GROUP = 250_000


def write_table(frames: Iterable[pl.DataFrame], path: Path, schema: Schema) -> None:
    """Write frames of a schema, one after the other, as one Parquet file with equal row groups.

    How the rows are spread over the frames changes no byte. `path` is left behind unfinished when a frame cannot be
    read: the caller writes into a folder that only a whole stage leaves behind.
    """
    with (
        _writer(path, schema) as writer,
        ThreadPoolExecutor(1, "write") as beside,
    ):
        # A group is packed while the next one is parsed, never two: memory stays that of a few groups.
        packing: Future[None] | None = None
        for group in _groups(frames, schema):
            if packing is not None:
                packing.result()
            packing = beside.submit(_pack, group, writer)
        if packing is not None:
            packing.result()


def _writer(path: Path, schema: Schema) -> pq.ParquetWriter:
    """A dictionary of values that hardly recur costs as much as all else, and makes the file larger."""
    arrow_schema = pl.DataFrame(schema=schema).to_arrow().schema
    recurring = [name for name in RECURRING if name in schema]
    return pq.ParquetWriter(path, arrow_schema, compression="zstd", use_dictionary=recurring)


def _pack(group: pl.DataFrame, writer: pq.ParquetWriter) -> None:
    """In one piece: where pieces meet, the writer would begin a page, and the bytes tell of the blocks read."""
    writer.write_table(group.rechunk().to_arrow(), row_group_size=ROWS_PER_GROUP)


def _groups(frames: Iterable[pl.DataFrame], schema: Schema) -> Iterator[pl.DataFrame]:
    waiting = pl.DataFrame(schema=schema)
    for frame in frames:
        waiting = pl.concat([waiting, in_schema(frame, schema)], rechunk=False)
        while len(waiting) >= ROWS_PER_GROUP:
            yield waiting[:ROWS_PER_GROUP]
            waiting = waiting[ROWS_PER_GROUP:]
    if len(waiting):
        yield waiting


def numbered_on(tables: Iterable[Iterable[pl.DataFrame]]) -> Iterator[pl.DataFrame]:
    """Give the frames of several files; `row` counts on from the last row of the file before."""
    offset = 0
    for frames in tables:
        last = offset
        for frame in frames:
            moved = frame.with_columns(pl.col("row") + offset)
            last = moved.item(-1, "row")
            yield moved
        offset = last
