"""Numbers for users, of whom only those go on that have enough interactions for a core. N interactions."""

import numpy as np
import polars as pl
import pyarrow.compute as pc


def coded_active_users(
    interactions: pl.DataFrame, hashes: pl.Series, minimum: int
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Put a number, int32, for each `user_id`; leave out most rows of users that no core can hold.

    Equal hashes come together when they are sorted, which takes half the time of comparing the texts. Users that share
    a hash count together, so that their rows stay for the core to judge, and are then told apart by their ids. Where
    no row would be left all stay, and the core says what is wrong.

    Args:
        interactions: `user_id` and other columns.
        hashes: of the ids, 64 bits.
        minimum: interactions that a user must have.

    Returns:
        The rows with `user` first and without `user_id`, and the users: `user`, `user_id`.
    """
    hashes_N = hashes.to_numpy()
    order = np.argsort(hashes_N)  # ties need no order: any sort will do
    ordered = hashes_N[order]
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    counts = np.diff(starts, append=len(ordered))
    active = counts >= minimum if (counts >= minimum).any() else np.ones(len(counts), dtype=np.bool_)
    codes = np.empty(len(ordered), dtype=np.int32)
    codes[order] = np.repeat(np.where(active, np.cumsum(active) - 1, -1).astype(np.int32), counts)
    ids = interactions["user_id"].gather(order[starts[active]])
    rows = interactions.filter(codes >= 0)
    codes = codes[codes >= 0]
    if not (ids.gather(codes) == rows["user_id"]).all():
        return _coded_by_id(rows)
    users = pl.DataFrame([pl.Series("user", np.arange(len(ids), dtype=np.int32)), ids])
    return rows.select(pl.Series("user", codes), pl.exclude("user_id")), users


def _coded_by_id(interactions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """As `coded_active_users`, of all rows, by comparing the ids themselves."""
    coded = pc.dictionary_encode(interactions["user_id"].to_arrow(compat_level=pl.CompatLevel.oldest()))
    codes = pl.Series("user", coded.indices.to_numpy())
    ids = pl.Series("user_id", coded.dictionary)
    users = pl.DataFrame([pl.Series("user", np.arange(len(ids), dtype=np.int32)), ids])
    return interactions.select(codes, pl.exclude("user_id")), users
