"""From raw tables to the rows that go on: exact repeats and everything outside the k-core left out, ids numbered.

What is left out here is well-formed and counted as dropped; rows that are wrong are in the quarantine.
"""

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import pyarrow.compute as pc
from numpy.typing import NDArray

from recops.config.validated_splits import ValidatedSplitsConfig
from recops.data.expectations import great_expectations
from recops.data.quarantine import reason_counts
from recops.data.screening import ScreenedTable, screen_interactions, screen_items
from recops.data.window import in_window
from recops.errors import InputError

Mask = NDArray[np.bool_]


@dataclass(frozen=True)
class CleanTables:
    """What goes on.

    Attributes:
        interactions: `user`, `item`, `timestamp`, `rating`, and `weight` where the source has weights, sorted by user,
            time, order in the file.
        users: `user` (from 0), `user_id`, in the order of the ids, so that the order of the source changes nothing.
        items: `item` (from 1), `item_id`, `row`, likewise.
        item_facts: every accepted item, inside the k-core or not, with the columns that rules read.
        dropped: rows that are left out although nothing is wrong with them, per reason.
        screened: what the rules say of each table, by its name.
    """

    interactions: pl.DataFrame
    users: pl.DataFrame
    items: pl.DataFrame
    item_facts: pl.DataFrame
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
        RuntimeError: Great Expectations and Polars judge a row differently.
    """
    with ThreadPoolExecutor(1, "great expectations") as beside:
        # To import them takes as long as to read millions of rows, and the two can be done at once.
        beside.submit(great_expectations)
        clean = _cleaned(raw, config, seed=seed, beside=beside)
    for table in clean.screened.values():
        table.judging.result()  # where the two disagree, it is told here
    return clean


def _cleaned(raw: Path, config: ValidatedSplitsConfig, *, seed: int, beside: Executor) -> CleanTables:
    source = {name: pl.scan_parquet(raw / f"{name}.parquet") for name in ("items", "interactions")}
    # Items first: a bad catalogue is the cause where its items' interactions are rejected too.
    screened_items, item_facts = screen_items(source["items"], config, seed=seed, beside=beside)
    listed = _numbered(item_facts.select("item_id", "row"), "item", start=1)
    screened, accepted = screen_interactions(source["interactions"], listed, config, seed=seed, beside=beside)
    distinct = drop_exact_repeats(accepted, user="user_id")
    inside = distinct.filter(in_window(config.window))
    coded, users = _with_coded_users(_of_active_users(inside, config.min_interactions_per_user))
    core = k_core(coded, min_per_user=config.min_interactions_per_user, min_per_item=config.min_interactions_per_item)
    core, users = _renumbered(core, users, "user", start=0)
    core, known = _renumbered(core, listed, "item", start=1)
    dropped = {
        "exact_repeats": len(accepted) - len(distinct),
        "interactions_outside_window": len(distinct) - len(inside),
        "interactions_outside_core": len(inside) - len(core),
        "items_outside_core": len(listed) - len(known),
    }
    # One key after the other: a sort by both at once would first pack them into texts.
    ordered = core.sort("timestamp", maintain_order=True).sort("user", maintain_order=True)
    return CleanTables(ordered, users, known, item_facts, dropped, {"interactions": screened, "items": screened_items})


def drop_exact_repeats(interactions: pl.DataFrame, *, user: str = "user") -> pl.DataFrame:
    """Keep the first row of each (user, item, time); `user` is the column that tells users apart.

    Repeats are clean-up, not quarantine: published data has them, and nothing is wrong with the row that stays. Few
    rows share a hash with another one, and only these are compared.
    """
    what = interactions.select(user, "item", "timestamp")
    hashes = what.hash_rows()
    ordered = np.sort(hashes.to_numpy())
    shared = pl.Series(ordered[1:][ordered[1:] == ordered[:-1]])
    alike = what.with_row_index("place").filter(hashes.is_in(shared.implode()))
    again = alike.filter(~alike.select(pl.struct(what.columns).is_first_distinct()).to_series())
    keep = np.ones(len(interactions), dtype=np.bool_)
    keep[again["place"].to_numpy()] = False
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
        for codes, minimum in ((users, min_per_user), (items, min_per_item)):
            rows = rows[_frequent(codes[rows], minimum)]
    if not len(rows):
        raise InputError(
            "validated_splits.min_interactions_per_user, min_interactions_per_item",
            found=f"no interaction of {len(interactions)} left with at least {min_per_user} per user "
            f"and {min_per_item} per item",
            expected="a core of active users and items",
            next_step="Lower the two minima, or take a larger source.",
        )
    return interactions[rows]


def _frequent(codes: NDArray[np.int32], minimum: int) -> Mask:
    return np.asarray(np.bincount(codes)[codes] >= minimum) if len(codes) else np.zeros(0, dtype=np.bool_)


def _of_active_users(interactions: pl.DataFrame, minimum: int) -> pl.DataFrame:
    """Leave out most rows of users that no core can hold, before their ids are compared.

    Users are told apart by a hash: two that share one count together, and both stay for the core to judge. Where none
    would be left all stay, and the core says what is wrong.
    """
    active = interactions.filter(pl.len().over(pl.col("user_id").hash()) >= minimum)
    return interactions if active.is_empty() else active


def _with_coded_users(accepted: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Put a number, int32, for each `user_id`: in the order in which they come; return the rows and the users."""
    coded = pc.dictionary_encode(accepted["user_id"].to_arrow(compat_level=pl.CompatLevel.oldest()))
    codes = pl.Series("user", coded.indices.to_numpy())
    ids = pl.Series("user_id", coded.dictionary)
    users = pl.DataFrame([pl.Series("user", np.arange(len(ids), dtype=np.int32)), ids])
    return accepted.select(codes, pl.exclude("user_id")), users


def _numbered(ids: pl.DataFrame, name: str, *, start: int) -> pl.DataFrame:
    """Add a number, int32, in the order of the ids."""
    ordered = ids.sort(f"{name}_id").with_row_index(name, offset=start)
    return ordered.with_columns(pl.col(name).cast(pl.Int32))


def _renumbered(
    interactions: pl.DataFrame, table: pl.DataFrame, name: str, *, start: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Leave out of `table` what no interaction names, and number the rest on in the order of their ids."""
    codes, old = interactions[name].to_numpy(), table[name].to_numpy()
    used = np.zeros(int(old.max()) + 1, dtype=np.bool_)
    used[codes] = True
    kept = table.filter(used[old]).sort(f"{name}_id")
    numbers = np.arange(start, start + len(kept), dtype=np.int32)
    new = np.zeros(len(used), dtype=np.int32)
    new[kept[name].to_numpy()] = numbers
    return interactions.with_columns(pl.Series(name, new[codes])), kept.with_columns(pl.Series(name, numbers))
