"""From raw tables to the rows that go on: exact repeats and everything outside the k-core left out, ids numbered.

What is left out here is well-formed and counted as dropped; rows that are wrong are in the quarantine.
"""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.config.validated_splits import ValidatedSplitsConfig, WindowConfig
from recops.data.quarantine import reason_counts
from recops.data.screening import ScreenedTable, screen_interactions, screen_items
from recops.data.window import in_window
from recops.errors import InputError

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class CleanTables:
    """What goes on.

    Attributes:
        interactions: `user`, `item`, `timestamp`, `rating`, sorted by user, time, order in the file.
        users: `user` (from 0), `user_id`, in the order of the ids, so that the order of the source changes nothing.
        items: `item` (from 1), `item_id`, `row`, likewise.
        dropped: rows that are left out although nothing is wrong with them, per reason.
        screened: each table's verdict, by its name.
    """

    interactions: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    dropped: dict[str, int]
    screened: dict[str, ScreenedTable]

    @property
    def quarantine(self) -> pl.DataFrame:
        """Every rejected row, the interactions first."""
        return pl.concat([self.screened["interactions"].quarantine, self.screened["items"].quarantine])

    @property
    def reason_counts(self) -> dict[str, dict[str, int]]:
        """Table -> reason -> number of rejected rows."""
        return reason_counts(self.quarantine)


def clean_tables(raw: Path, config: ValidatedSplitsConfig, *, seed: int) -> CleanTables:
    """Return what is accepted of the artefact `raw_data`, without exact repeats and outside of no k-core.

    Raises:
        InputError: too many rows are rejected, or nothing is left.
    """
    items = screen_items(pl.scan_parquet(raw / "items.parquet"), config, seed=seed)
    # Items first: a bad catalogue is the cause where its items' interactions are rejected too.
    listed = _numbered(items.accepted.select("item_id", "row").collect(), "item", start=1)
    source = pl.scan_parquet(raw / "interactions.parquet")
    interactions = screen_interactions(source, listed, config, seed=seed)
    users = _users(interactions.accepted, min(2, config.min_interactions_per_user))
    accepted = _loaded(interactions.accepted, users)
    distinct = drop_exact_repeats(accepted)
    inside = distinct.filter(in_window(config.window))
    core = k_core(inside, min_per_user=config.min_interactions_per_user, min_per_item=config.min_interactions_per_item)
    num_repeats = len(accepted) - len(distinct)
    num_inside = _count_inside(interactions.accepted, config.window) - _count_inside(accepted.lazy(), config.window)
    num_inside += len(inside)  # users that were not loaded have no repeats
    core, users = _renumbered(core, users, "user", start=0)
    core, known = _renumbered(core, listed, "item", start=1)
    dropped = {
        "exact_repeats": num_repeats,
        "interactions_outside_window": interactions.num_accepted - num_repeats - num_inside,
        "interactions_outside_core": num_inside - len(core),
        "items_outside_core": len(listed) - len(known),
    }
    return CleanTables(core, users, known, dropped, {"interactions": interactions, "items": items})


def drop_exact_repeats(interactions: pl.DataFrame) -> pl.DataFrame:
    """Keep the first row, in the order of the file, of each (user, item, time).

    Repeats are clean-up, not quarantine: published data has them, and nothing is wrong with the row that stays.

    Args:
        interactions: sorted by user, time, order in the file, so that repeats lie in one run of equal user and time.
    """
    same = pl.struct("user", "timestamp")
    in_run = (same == same.shift(1)).fill_null(value=False) | (same == same.shift(-1)).fill_null(value=False)
    runs = interactions.select("user", "timestamp", "item", in_run.alias("in_run")).with_row_index("position")
    runs = runs.filter(pl.col("in_run"))
    again = runs.filter(~runs.select(pl.struct("user", "timestamp", "item").is_first_distinct()).to_series())
    keep = np.ones(len(interactions), dtype=np.bool_)
    keep[again["position"].to_numpy()] = False
    return interactions.filter(keep)


def k_core(interactions: pl.DataFrame, *, min_per_user: int, min_per_item: int) -> pl.DataFrame:
    """Drop users and items with too few interactions until none is left that has too few.

    Raises:
        InputError: nothing is left.
    """
    users, items = interactions["user"].to_numpy(), interactions["item"].to_numpy()
    rows, before = np.arange(len(interactions)), -1
    while len(rows) != before:
        before = len(rows)
        rows = rows[_frequent(users[rows], min_per_user)]
        rows = rows[_frequent(items[rows], min_per_item)]
    if not len(rows):
        raise InputError(
            "validated_splits.min_interactions_per_user, min_interactions_per_item",
            found=f"no interaction of {len(interactions)} left with at least {min_per_user} per user "
            f"and {min_per_item} per item",
            expected="a core of active users and items",
            next_step="Lower the two minima, or take a larger source.",
        )
    return interactions[rows]


def _count_inside(interactions: pl.LazyFrame, window: WindowConfig | None) -> int:
    return int(interactions.filter(in_window(window)).select(pl.len()).collect(engine="streaming").item())


def _frequent(codes: NDArray[np.int32], minimum: int) -> Mask:
    return np.asarray(np.bincount(codes)[codes] >= minimum) if len(codes) else np.zeros(0, dtype=np.bool_)


def _users(accepted: pl.LazyFrame, minimum: int) -> pl.DataFrame:
    """Number the users with at least `minimum` accepted rows.

    One row can be no repeat, and no core of two or more per user: in a published category more than half of the users
    have one.
    """
    counts = accepted.group_by("user_id").len().filter(pl.col("len") >= minimum)
    return _numbered(counts.select("user_id").collect(engine="streaming"), "user", start=0)


def _numbered(ids: pl.DataFrame, name: str, *, start: int) -> pl.DataFrame:
    """Add a number, int32, in the order of the ids."""
    ordered = ids.sort(f"{name}_id").with_row_index(name, offset=start)
    return ordered.with_columns(pl.col(name).cast(pl.Int32))


def _loaded(accepted: pl.LazyFrame, users: pl.DataFrame) -> pl.DataFrame:
    """Load the rows of numbered users, sorted by user, time, order in the file."""
    numbered = accepted.join(users.lazy(), on="user_id", how="inner")
    loaded = numbered.select("user", "item", "timestamp", "rating", "row").collect(engine="streaming")
    return loaded.sort("user", "timestamp", "row").drop("row")


def _renumbered(
    interactions: pl.DataFrame, table: pl.DataFrame, name: str, *, start: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Leave out of `table` what no interaction names, and close the gaps in its numbers."""
    codes = interactions[name].to_numpy()
    used = np.zeros(int(table[name].max()) + 1, dtype=np.bool_)  # type: ignore[arg-type]
    used[codes] = True
    new = (np.cumsum(used) - 1 + start).astype(np.int32)
    kept = table.filter(used[table[name].to_numpy()])
    renamed = pl.Series(name, new[codes])
    return interactions.with_columns(renamed), kept.with_columns(pl.Series(name, new[kept[name].to_numpy()]))
