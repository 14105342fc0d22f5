"""Leave-one-out over a folder of Amazon reviews: the last item of a user is for test, the one before for valid.

The full catalogue is ranked, items that the user has taken before excluded. Shape suffixes: T interactions, U users.
"""

import gzip
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recops.retrieval.batches import Sequences
from recops.retrieval.fit_data import FitRows, HeldOut


@dataclass(frozen=True)
class LeaveOneOut:
    """Rows to fit on, and one target per user for each of the two evaluations."""

    fit: FitRows
    valid: HeldOut
    test: HeldOut


def read_leave_one_out(folder: Path, max_length: int) -> LeaveOneOut:
    """Read `reviews.jsonl.gz`; (user, item, time) counts once, users with fewer than 3 rows are left out."""
    users_T, items_T, timestamps_T = _read_rows(folder / "reviews.jsonl.gz")
    counts_U = np.bincount(users_T)
    kept_T = counts_U[users_T] >= 3
    users_T = np.unique(users_T[kept_T], return_inverse=True)[1]
    rows = FitRows(users_T, items_T[kept_T], timestamps_T[kept_T], int(items_T.max()))
    starts_U = np.searchsorted(users_T, np.arange(users_T[-1] + 2))
    last_U = starts_U[1:] - 1
    fitted_T = np.ones(len(rows), dtype=np.bool_)
    fitted_T[last_U] = fitted_T[last_U - 1] = False
    fit = rows.select(fitted_T)
    valid, test = (_held_out(rows, fit.known_items(), starts_U[:-1], last_U - back, max_length) for back in (1, 0))
    return LeaveOneOut(fit, valid, test)


def _held_out(
    rows: FitRows,
    is_known_I: NDArray[np.bool_],
    starts_U: NDArray[np.int64],
    targets_U: NDArray[np.int64],
    max_length: int,
) -> HeldOut:
    """Histories leave out items that nothing was fitted on, as `retrieval.sasrec.encode_histories` does."""
    known_T = is_known_I[rows.items]
    known_before_T = np.cumsum(known_T, dtype=np.int64) - known_T
    lengths_U = np.minimum(known_before_T[targets_U] - known_before_T[starts_U], max_length)
    histories = Sequences(rows.items[known_T], known_before_T[targets_U] - lengths_U, lengths_U)
    return HeldOut(rows.items[targets_U], histories, Sequences(rows.items, starts_U, targets_U - starts_U))


def _read_rows(path: Path) -> tuple[NDArray[np.int64], NDArray[np.int64], NDArray[np.int64]]:
    """Return users, items (from 1) and times, by user, time and order in the file."""
    with gzip.open(path, "rt", encoding="utf-8") as file:
        reviews = [json.loads(line) for line in file]
    users_T = np.unique([review["user_id"] for review in reviews], return_inverse=True)[1]
    items_T = np.unique([review["parent_asin"] for review in reviews], return_inverse=True)[1] + 1
    timestamps_T = np.asarray([review["timestamp"] for review in reviews], dtype=np.int64)
    keys = np.stack([users_T, items_T, timestamps_T])
    first = np.unique(keys, axis=1, return_index=True)[1]
    order = first[np.lexsort((first, timestamps_T[first], users_T[first]))]
    return users_T[order].astype(np.int64), items_T[order].astype(np.int64), timestamps_T[order]
