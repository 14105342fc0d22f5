"""Item sequences in one flat array, and batches of them with little padding. No Python loop over samples.

Shape suffixes: N sequences, T items of all of them, B sequences in a batch, L positions.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Rows = NDArray[np.int64]

_BATCHES_PER_BUCKET = 32
"""Sequences are sorted by length inside buckets of so many batches: wide enough to save padding, and still random."""


@dataclass(frozen=True)
class Sequences:
    """N sequences of items, oldest first: sequence i is `items[starts[i] : starts[i] + lengths[i]]`."""

    items: NDArray[np.int64]
    starts: Rows
    lengths: Rows

    @classmethod
    def of(cls, sequences: Sequence[Sequence[int]]) -> "Sequences":
        """Lay sequences end to end."""
        lengths = np.fromiter(map(len, sequences), dtype=np.int64, count=len(sequences))
        items = np.fromiter((item for one in sequences for item in one), dtype=np.int64, count=int(lengths.sum()))
        return cls(items, np.cumsum(lengths) - lengths, lengths)


def training_windows(items_T: NDArray[np.int64], users_T: NDArray[np.int64], max_length: int) -> Sequences:
    """Cut each user's items into windows of at most `max_length + 1`: as many inputs, each with the next as its target.

    Windows are laid from the newest item backwards and share one item, so that every item but a user's first is a
    target exactly once. Users with one item have none.

    Args:
        items_T: items, sorted by user, oldest first.
        users_T: the user of each item.
        max_length: inputs per window.
    """
    _, starts_U, counts_U = np.unique(users_T, return_index=True, return_counts=True)
    windows_U = -(-(counts_U - 1) // max_length)
    user_N = np.repeat(np.arange(len(counts_U)), windows_U)
    number_N = np.arange(len(user_N)) - np.repeat(np.cumsum(windows_U) - windows_U, windows_U)
    ends_N = (starts_U + counts_U)[user_N] - number_N * max_length
    starts_N = np.maximum(ends_N - max_length - 1, starts_U[user_N])
    return Sequences(
        items_T.astype(np.int64, copy=False), starts_N.astype(np.int64), (ends_N - starts_N).astype(np.int64)
    )


def training_prefixes(items_T: NDArray[np.int64], users_T: NDArray[np.int64], max_length: int) -> Sequences:
    """Return one sequence per item but a user's first: the item, and before it at most `max_length` that it follows.

    Args: as of `training_windows`.
    """
    _, starts_U, counts_U = np.unique(users_T, return_index=True, return_counts=True)
    first_T = np.repeat(starts_U, counts_U)
    places_T = np.arange(len(items_T))
    ends_N = places_T[places_T > first_T] + 1
    starts_N = np.maximum(ends_N - max_length - 1, first_T[ends_N - 1])
    return Sequences(items_T.astype(np.int64, copy=False), starts_N, ends_N - starts_N)


def pad_left(sequences: Sequences, rows_B: Rows) -> NDArray[np.int64]:
    """Return the sequences of some rows as one left-padded array, shape (B, L), L the longest of them."""
    lengths_B = sequences.lengths[rows_B]
    length = int(lengths_B.max())
    offsets_BL = np.arange(length) - (length - lengths_B)[:, None]
    places_BL = np.maximum(sequences.starts[rows_B][:, None] + offsets_BL, 0)
    return np.where(offsets_BL >= 0, sequences.items[places_BL], 0)


def length_batches(lengths_N: NDArray[np.int64], batch_size: int) -> Iterator[Rows]:
    """Yield the rows of all sequences that are not empty, shortest first."""
    order = np.argsort(lengths_N, kind="stable")
    order = order[lengths_N[order] > 0]
    for start in range(0, len(order), batch_size):
        yield order[start : start + batch_size]


def shuffled_batches(lengths_N: NDArray[np.int64], batch_size: int, generator: np.random.Generator) -> list[Rows]:
    """Return every row once, in batches of similar length and random order."""
    order = generator.permutation(len(lengths_N))
    bucket = batch_size * _BATCHES_PER_BUCKET
    batches: list[Rows] = []
    for start in range(0, len(order), bucket):
        rows = order[start : start + bucket]
        rows = rows[np.argsort(lengths_N[rows], kind="stable")]
        batches += [rows[first : first + batch_size] for first in range(0, len(rows), batch_size)]
    return [batches[i] for i in generator.permutation(len(batches))]


def flat_ranges(starts: NDArray[np.int64], lengths: NDArray[np.int64]) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Return the ranges `starts[i] ... starts[i] + lengths[i] - 1` end to end, and the i of each element."""
    owner = np.repeat(np.arange(len(starts)), lengths)
    shift = starts - (np.cumsum(lengths) - lengths)
    return np.arange(len(owner)) + shift[owner], owner
