"""Numbers for users, of whom only those go on that have enough interactions for a core. N interactions."""

import numpy as np
import polars as pl
import pyarrow.compute as pc
from numpy.typing import NDArray


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
    active = _frequent(np.sort(hashes.to_numpy()), minimum)
    # Numbers are sorted several times as fast as their places are found: that is left for the rows that stay.
    stays = hashes.is_in(pl.Series(active).implode()) if len(active) else pl.repeat(True, len(hashes), eager=True)
    rows, hashes_N = interactions.filter(stays), hashes.filter(stays).to_numpy()
    order = np.argsort(hashes_N)  # ties need no order: any sort will do
    ordered = hashes_N[order]
    is_first = np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)]
    codes = np.empty(len(ordered), dtype=np.int32)
    codes[order] = np.cumsum(is_first, dtype=np.int32) - np.int32(1)
    ids = rows["user_id"].gather(order[is_first])
    if not (ids.gather(codes) == rows["user_id"]).all():
        return _coded_by_id(rows)
    users = pl.DataFrame([pl.Series("user", np.arange(len(ids), dtype=np.int32)), ids])
    return rows.select(pl.Series("user", codes), pl.exclude("user_id")), users


def _frequent(ordered: NDArray[np.uint64], minimum: int) -> NDArray[np.uint64]:
    """Return each of some ordered values that stands there at least `minimum` times."""
    starts = np.flatnonzero(np.append(True, ordered[1:] != ordered[:-1])[: len(ordered)])
    frequent: NDArray[np.uint64] = ordered[starts][np.diff(starts, append=len(ordered)) >= minimum]
    return frequent


def _coded_by_id(interactions: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """As `coded_active_users`, of all rows, by comparing the ids themselves."""
    coded = pc.dictionary_encode(interactions["user_id"].to_arrow(compat_level=pl.CompatLevel.oldest()))
    codes = pl.Series("user", coded.indices.to_numpy())
    ids = pl.Series("user_id", coded.dictionary)
    users = pl.DataFrame([pl.Series("user", np.arange(len(ids), dtype=np.int32)), ids])
    return interactions.select(codes, pl.exclude("user_id")), users
