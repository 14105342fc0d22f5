"""From raw tables to the rows that go on: exact repeats and everything outside the k-core left out, ids numbered.

What is left out here is well-formed and counted as dropped; rows that are wrong are in the quarantine.
"""

from concurrent.futures import Executor, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recops.config.validated_splits import ValidatedSplitsConfig
from recops.data.expectations import great_expectations
from recops.data.quarantine import reason_counts
from recops.data.screening import ScreenedTable, screen_interactions, screen_items
from recops.data.user_codes import coded_active_users
from recops.data.window import in_window
from recops.errors import InputError


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
    coded, users = coded_active_users(inside, inside["user_id"].hash(), config.min_interactions_per_user)
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
    codes = [interactions[name].to_numpy() for name in ("user", "item")]
    counts = [np.bincount(one) for one in codes]
    kept = np.ones(len(interactions), dtype=np.bool_)
    while True:
        rare = [count < minimum for count, minimum in zip(counts, (min_per_user, min_per_item), strict=True)]
        leaving = np.flatnonzero(kept & (rare[0][codes[0]] | rare[1][codes[1]]))
        if not len(leaving):
            break
        kept[leaving] = False
        # Only what leaves is counted again: few rows after the first round.
        counts = [n - np.bincount(one[leaving], minlength=len(n)) for n, one in zip(counts, codes, strict=True)]
    if not kept.any():
        raise InputError(
            "validated_splits.min_interactions_per_user, min_interactions_per_item",
            found=f"no interaction of {len(interactions)} left with at least {min_per_user} per user "
            f"and {min_per_item} per item",
            expected="a core of active users and items",
            next_step="Lower the two minima, or take a larger source.",
        )
    return interactions.filter(kept)


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
