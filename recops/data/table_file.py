"""Parquet files written frame by frame: memory is a row group, whatever the number of rows."""

from collections.abc import Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq

from recops.data.schema import Schema, in_schema

ROWS_PER_GROUP = 250_000


def write_table(frames: Iterable[pl.DataFrame], path: Path, schema: Schema) -> None:
    """Write frames of a schema, one after the other, as one Parquet file with equal row groups.

    How the rows are spread over the frames changes no byte. `path` is left behind unfinished when a frame cannot be
    read: the caller writes into a folder that only a whole stage leaves behind.
    """
    with (
        pq.ParquetWriter(path, _arrow_schema(schema), compression="zstd") as writer,
        ThreadPoolExecutor(1, "write") as beside,
    ):
        # A group is packed while the next one is parsed, never two: memory stays that of a few groups.
        packing: Future[None] | None = None
        for group in _groups(frames, schema):
            if packing is not None:
                packing.result()
            # In one piece: where pieces meet, the writer would begin a page, and the bytes tell of the blocks read.
            whole = group.rechunk().to_arrow()
            packing = beside.submit(writer.write_table, whole, row_group_size=ROWS_PER_GROUP)
        if packing is not None:
            packing.result()


def _arrow_schema(schema: Schema) -> pa.Schema:
    return pl.DataFrame(schema=schema).to_arrow().schema


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
