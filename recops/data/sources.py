"""Stage `raw_data`: interactions and items of any source, in one schema (docs/artefacts.md)."""

from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import polars as pl

from recops.artifacts import file_sha256
from recops.config.raw_data import AmazonReviews2023Config, RawDataConfig
from recops.config.variables import expand_variables
from recops.data import schema
from recops.data.amazon_reviews_2023 import read_meta, read_reviews
from recops.data.shop_truth import ShopTruth
from recops.data.simulated_store import simulate
from recops.stage_io import StageIO


@dataclass(frozen=True)
class RawDataReport:
    """What a source gave, before any check of its content.

    Attributes:
        first_time, last_time: ISO 8601, UTC, of the times as they stand; absent where no row has one in the calendar.
        num_without: rows without a value, per column that may be absent.
        users_per_kind: planted kinds, of the simulated store only.
        source_sha256: SHA-256 per source file; empty where nothing is read.
    """

    source: str
    num_users: int
    num_items: int
    num_interactions: int
    first_time: str | None
    last_time: str | None
    num_without: dict[str, int]
    users_per_kind: dict[str, int]
    source_sha256: dict[str, str]


@dataclass(frozen=True)
class _Tables:
    interactions: pl.DataFrame
    items: pl.DataFrame
    truth: ShopTruth | None
    source_sha256: dict[str, str]


def run_raw_data(io: StageIO, config: RawDataConfig, *, seed: int) -> RawDataReport:
    """Write the artefact `raw_data` from the recipe's source.

    Raises:
        InputError: a source file is missing, empty, or has a line that cannot be read.
    """
    source = config.source
    if source.kind == "simulated_store":
        store = simulate(source, seed)
        tables = _Tables(store.interactions, store.items, store.truth, {})
    else:
        tables = _amazon_reviews_2023(source, io.layout.root)
    schema.in_schema(tables.interactions, schema.INTERACTIONS).write_parquet(io.out / "interactions.parquet")
    schema.in_schema(tables.items, schema.ITEMS).write_parquet(io.out / "items.parquet")
    if tables.truth is not None:
        tables.truth.write(io.out)
    return _report(source.kind, tables)


def source_folder(folder: Path, root: Path) -> Path:
    """Return a source's folder with its variables filled in; a relative one is relative to the project's root.

    Raises:
        InputError: a variable without a default is not set.
    """
    expanded = Path(expand_variables(str(folder), where="raw_data.source.folder")).expanduser()
    return (root / expanded).resolve()


def _amazon_reviews_2023(config: AmazonReviews2023Config, root: Path) -> _Tables:
    folder = source_folder(config.folder, root)
    reviews, meta = folder / config.reviews, folder / config.meta
    return _Tables(
        interactions=read_reviews(reviews),
        items=read_meta(meta),
        truth=None,
        source_sha256={path.name: file_sha256(path) for path in (reviews, meta)},
    )


def _report(source: str, tables: _Tables) -> RawDataReport:
    interactions, items = tables.interactions, tables.items
    optional = {"rating": interactions, "title": items, "category": items, "store": items, "price": items}
    kinds = {} if tables.truth is None else dict(tables.truth.users.group_by("kind").len().sort("kind").iter_rows())
    return RawDataReport(
        source=source,
        num_users=interactions["user_id"].n_unique(),
        num_items=items["item_id"].n_unique(),
        num_interactions=len(interactions),
        first_time=_iso(interactions["timestamp"].min()),
        last_time=_iso(interactions["timestamp"].max()),
        num_without={name: table[name].null_count() for name, table in optional.items()},
        users_per_kind=kinds,
        source_sha256=tables.source_sha256,
    )


def _iso(milliseconds: object) -> str | None:
    """Times are not checked yet: one that no calendar holds is left to `validated_splits` to refuse."""
    if not isinstance(milliseconds, int) or abs(milliseconds) > 86_400_000_000_000:
        return None
    return datetime.fromtimestamp(milliseconds / 1000, tz=UTC).isoformat(timespec="milliseconds")
