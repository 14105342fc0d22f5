"""What SASRec is fitted on: the rows of `tool_fit`, and the cut in time that early stopping needs.

In the naive protocol those of `policy_train` belong to it too: `splits.json` says which slices are fitted on.

Shape suffixes: T rows, H held-out rows, I+1 items with padding.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.artifacts import read_json
from recops.errors import InputError
from recops.retrieval.batches import Sequences

HELD_OUT_FRACTION = 0.1
_MAPPED_BYTES = 2**30
"""Rows that take more memory are read from files, page by page as batches ask for them: 45 million interactions."""
_COLUMNS = ("user", "item", "timestamp")
_STEP = "Give tool_fit a larger share in validated_splits.split, or bring more data."


@dataclass(frozen=True)
class FitRows:
    """Interactions (T,) sorted by user, then time; `first` is the row of their user's first one."""

    users: NDArray[np.int64]
    items: NDArray[np.int64]
    timestamps: NDArray[np.int64]
    num_items: int

    def __len__(self) -> int:
        return len(self.items)

    @property
    def first(self) -> NDArray[np.int64]:
        """Row of the first interaction of each row's user, shape (T,)."""
        return np.searchsorted(self.users, self.users).astype(np.int64)

    def known_items(self) -> NDArray[np.bool_]:
        """Return which items occur, shape (I+1,)."""
        return np.bincount(self.items, minlength=self.num_items + 1) > 0

    def select(self, rows: NDArray[np.bool_]) -> "FitRows":
        """Return some of the rows."""
        return FitRows(self.users[rows], self.items[rows], self.timestamps[rows], self.num_items)

    def mapped(self, folder: Path) -> "FitRows":
        """Return equal rows; large ones lie in files of a new `folder`, memory-mapped, and not in memory."""
        columns = {"users": self.users, "items": self.items, "timestamps": self.timestamps}
        if sum(column.nbytes for column in columns.values()) <= _MAPPED_BYTES:
            return self
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        for name, column in columns.items():
            np.save(folder / f"{name}.npy", column, allow_pickle=False)
        read = {name: np.load(folder / f"{name}.npy", mmap_mode="r", allow_pickle=False) for name in columns}
        return FitRows(**read, num_items=self.num_items)


def read_fit_rows(splits: Path) -> FitRows:
    """Read the rows of the slices that `validated_splits` names for it (`tool_fit`, as a rule), and no others.

    Raises:
        InputError: the slice is empty, a value is absent, an item is not in the catalogue, or no user has two rows.
    """
    path = splits / "interactions.parquet"
    num_items = pl.scan_parquet(splits / "items.parquet").select(pl.len()).collect().item()
    slices = read_json(splits / "splits.json")["fitted_slices"]
    table = pl.scan_parquet(path).filter(pl.col("slice").is_in(slices)).select(_COLUMNS).collect()
    if not len(table):
        raise InputError(
            path, found=f"no row of slice {' or '.join(slices)}", expected="interactions to fit on", next_step=_STEP
        )
    for name, nulls in table.null_count().row(0, named=True).items():
        if nulls:
            row = table[name].is_null().arg_max()
            found = f"{nulls} rows without {name}, the first one row {row} of tool_fit"
            raise InputError(path, found=found, expected="a value", next_step="Run validated_splits again.")
    for name in _COLUMNS:
        if not table[name].dtype.is_integer():
            step = "Run validated_splits again."
            raise InputError(path, found=f"{name} of type {table[name].dtype}", expected="integers", next_step=step)
    users, items, timestamps = (table[name].to_numpy().astype(np.int64) for name in _COLUMNS)
    rows = FitRows(users, items, timestamps, num_items)
    _check_items(rows, path)
    _check_sequences(rows, path)
    return rows


@dataclass(frozen=True)
class HeldOut:
    """Targets for early stopping: the last tenth of `tool_fit` by time, where the user has a history.

    Attributes:
        targets: item of each held-out row, shape (H,).
        histories: known items before it, at most `max_length`, to be encoded.
        seen: every item of the user before it, to be excluded from the ranking.
    """

    targets: NDArray[np.int64]
    histories: Sequences
    seen: Sequences


def cut_in_time(rows: FitRows, max_length: int, *, where: Path) -> tuple[FitRows, HeldOut]:
    """Return the rows before the cut and the targets after it.

    Raises:
        InputError: nothing is left on a side of the cut, or no user has two rows before it.
    """
    cut = np.sort(rows.timestamps)[int(len(rows) * (1 - HELD_OUT_FRACTION))]
    before = rows.timestamps < cut
    earlier = rows.select(before)
    _check_sequences(earlier, where)
    first = rows.first
    held = np.flatnonzero(~before & (first < np.arange(len(rows))))
    if not len(held):
        found = f"no user with a row before and a row after {cut} (ms since 1970)"
        raise InputError(where, found=found, expected="targets for early stopping", next_step=_STEP)
    known = earlier.known_items()[rows.items]
    known_before = np.cumsum(known, dtype=np.int64) - known
    lengths = np.minimum(known_before[held] - known_before[first[held]], max_length)
    histories = Sequences(rows.items[known], known_before[held] - lengths, lengths)
    return earlier, HeldOut(rows.items[held], histories, Sequences(rows.items, first[held], held - first[held]))


def _check_items(rows: FitRows, path: Path) -> None:
    wrong = np.flatnonzero((rows.items < 1) | (rows.items > rows.num_items))
    if len(wrong):
        found = f"item {rows.items[wrong[0]]} in row {wrong[0]} of tool_fit"
        expected = f"items from 1 to {rows.num_items}, the rows of items.parquet"
        raise InputError(path, found=found, expected=expected, next_step="Run validated_splits again.")


def _check_sequences(rows: FitRows, path: Path) -> None:
    if not (rows.users[1:] == rows.users[:-1]).any():
        found = f"{len(rows)} rows for fitting and no user with two of them"
        raise InputError(path, found=found, expected="sequences of at least two items", next_step=_STEP)
