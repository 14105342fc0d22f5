"""Stage `raw_data`: interactions and items of any source, in one schema (docs/artefacts.md).

A source gives frames, which are written as they come: a file of any size passes through in the memory of a few blocks.
"""

from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recops.artifacts import file_sha256
from recops.config.raw_data import FilesConfig, RawDataConfig, SourceConfig
from recops.data import schema
from recops.data.amazon_reviews_2023 import read_meta, read_reviews
from recops.data.files import EventFilter, read_interactions, read_items
from recops.data.movielens import read_movies, read_ratings
from recops.data.rules import iso_time
from recops.data.shop_truth import ShopTruth
from recops.data.simulated_store import simulate
from recops.data.source_files import SourceFiles, find_source_files
from recops.data.table_file import numbered_on, write_table
from recops.stage_io import StageIO


@dataclass(frozen=True)
class RawDataReport:
    """What a source gave, before any check of its content.

    Attributes:
        first_time, last_time: ISO 8601, UTC, of the times as they stand; absent where no row has one in the calendar.
        left_out: rows of kinds of events that the recipe does not list, per kind.
        num_without: rows without a value, per column that may be absent.
        users_per_kind: planted kinds, of the simulated store only.
        source_sha256: SHA-256 per source file, by its path in the source's folder; empty where nothing is read.
    """

    source: str
    num_users: int
    num_items: int
    num_interactions: int
    first_time: str | None
    last_time: str | None
    left_out: dict[str, int]
    num_without: dict[str, int]
    users_per_kind: dict[str, int]
    source_sha256: dict[str, str]


@dataclass(frozen=True)
class _Source:
    """Frames in the schemas of `raw_data`, read when they are asked for."""

    interactions: Iterable[pl.DataFrame]
    items: Iterable[pl.DataFrame]
    truth: ShopTruth | None = None
    events: EventFilter = field(default_factory=lambda: EventFilter(None, None))


def run_raw_data(io: StageIO, config: RawDataConfig, *, seed: int) -> RawDataReport:
    """Write the artefact `raw_data` from the recipe's source.

    Raises:
        InputError: a source file is missing, empty, or has a line that cannot be read.
    """
    files = find_source_files(config.source, io.layout.root)
    source = _open(config.source, files, seed)
    with ThreadPoolExecutor(1, "hash") as beside:
        hashes = beside.submit(_hashes, files)
        # Items first: they are few, and a mistake in them is then told before the long file is read.
        write_table(source.items, io.out / "items.parquet", schema.ITEMS)
        write_table(source.interactions, io.out / "interactions.parquet", source.events.schema)
    source.events.check_all_seen()
    if source.truth is not None:
        source.truth.write(io.out)
    return _report(config.source.kind, source, hashes.result(), io.out)


def _open(config: SourceConfig, files: SourceFiles, seed: int) -> _Source:
    if config.kind == "simulated_store":
        store = simulate(config, seed)
        return _Source([store.interactions], [store.items], truth=store.truth)
    if config.kind == "files":
        return _open_files(config, files)
    read = (read_ratings, read_movies) if config.kind == "movielens" else (read_reviews, read_meta)
    return _Source(numbered_on(map(read[0], files.interactions)), numbered_on(map(read[1], files.items)))


def _open_files(config: FilesConfig, files: SourceFiles) -> _Source:
    events = EventFilter(config.interactions.columns.event, config.interactions.events)
    tables = (read_interactions(path, config.interactions, config.csv, events) for path in files.interactions)
    items = (read_items(path, config.items, config.csv) for path in files.items)
    return _Source(numbered_on(tables), numbered_on(items), events=events)


def _hashes(files: SourceFiles) -> dict[str, str]:
    paths = (*files.interactions, *files.items)
    return {path.relative_to(files.folder).as_posix(): file_sha256(path) for path in paths}


def _report(kind: str, source: _Source, hashes: dict[str, str], out: Path) -> RawDataReport:
    interactions, items = (pl.scan_parquet(out / f"{name}.parquet") for name in ("interactions", "items"))
    counts = _only_row(
        interactions.select(
            pl.len().alias("rows"),
            pl.col("timestamp").min().alias("first"),
            pl.col("timestamp").max().alias("last"),
        )
    )
    kinds = {} if source.truth is None else dict(source.truth.users.group_by("kind").len().sort("kind").iter_rows())
    return RawDataReport(
        source=kind,
        num_users=_num_different(interactions, "user_id"),
        num_items=_only_row(items.select(pl.col("item_id").n_unique()))["item_id"],
        num_interactions=counts["rows"],
        first_time=_iso(counts["first"]),
        last_time=_iso(counts["last"]),
        left_out=dict(sorted(source.events.left_out.items())),
        num_without={
            **_only_row(interactions.select(pl.col("rating").null_count())),
            **_only_row(items.select(pl.col("title", "category", "store", "price").null_count())),
        },
        users_per_kind=kinds,
        source_sha256=hashes,
    )


def _num_different(table: pl.LazyFrame, column: str) -> int:
    """By 64-bit hashes, sorted: that two of ten million users share one happens in one file of 370,000."""
    hashes = np.sort(table.select(pl.col(column).hash()).collect(engine="streaming").to_series().to_numpy())
    return int((hashes[1:] != hashes[:-1]).sum()) + bool(len(hashes))


def _only_row(facts: pl.LazyFrame) -> dict[str, Any]:
    return facts.collect(engine="streaming").row(0, named=True)


def _iso(milliseconds: object) -> str | None:
    """Times are not checked yet: one that no calendar holds is left to `validated_splits` to refuse."""
    if not isinstance(milliseconds, int) or abs(milliseconds) > 86_400_000_000_000:
        return None
    return iso_time(milliseconds)
