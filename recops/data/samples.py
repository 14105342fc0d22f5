"""Samples as the rest of the pipeline reads them: numpy arrays over the artefact of `validated_splits`.

N interaction rows (sorted by user, time, order in the file), S samples, C candidates. Items are indices from 1 (0 is
padding), users from 0, times are milliseconds since 1970 (UTC). Nothing here can change an artefact.
"""

from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.artifacts import read_json
from recops.errors import InputError
from recops.records import Event, Sample, SliceName

SLICE_CODES: dict[SliceName, int] = {"tool_fit": 0, "policy_train": 1, "valid": 2, "test": 3}
"""Slice -> its code in `SampleStore.slice_code`, oldest first."""

SAMPLED_SLICES: tuple[SliceName, ...] = ("policy_train", "valid", "test")
"""Slices whose interactions become samples; `tool_fit` only feeds the tools."""

SLICE_TYPE = pl.Enum(list(SLICE_CODES))
"""Type of the columns `slice`: a byte a row, which reads as a string."""

HARD_CANDIDATES, HARD_FACTS = "hard_candidates.parquet", "hard_candidates.json"
"""Files of `sasrec_embeddings` that hold the candidates, and their hash, where the recipe asks for hard ones."""

HARD_VALIDATION = "hard_validation.json"
"""What Great Expectations says of them."""

_SLICE_NAMES: tuple[SliceName, ...] = tuple(SLICE_CODES)


class SampleStore:
    """Interactions, items, users and samples of one `validated_splits`, ready for single look-ups.

    Attributes:
        items: row i is item i + 1 (columns of docs/artefacts.md).
        users: row i is user i.
        user: int32 (N,), `item`: int32 (N,), `timestamp`: int64 (N,), `rating`: float32 (N,) with NaN where absent,
            `weight`: float32 (N,), None where the recipe weighs no kinds of events, `slice_code`: int8 (N,), one of
            `SLICE_CODES`.
    """

    def __init__(self, splits: Path, sasrec: Path | None = None) -> None:
        self._samples = _SampleColumns(splits / "samples.parquet", _candidates_file(splits, sasrec))
        interactions = splits / "interactions.parquet"
        self.user = _column(interactions, "user", np.int32)
        self.item = _column(interactions, "item", np.int32)
        self.timestamp = _column(interactions, "timestamp", np.int64)
        self.rating = _column(interactions, "rating", np.float32)
        weighed = "weight" in pl.read_parquet_schema(interactions)
        self.weight = _column(interactions, "weight", np.float32) if weighed else None
        self.slice_code = _column(interactions, "slice", np.int8)
        self.items = pl.read_parquet(splits / "items.parquet")
        self.users = pl.read_parquet(splits / "users.parquet")
        self._user_start = np.searchsorted(self.user, np.arange(len(self.users) + 1))  # (U + 1,)
        self._events: dict[int, tuple[Event, ...]] = {}

    @classmethod
    def load(cls, splits: Path, sasrec: Path | None = None) -> "SampleStore":
        """Read the folder of a `validated_splits` artefact, verified before by `StageIO.input`.

        Args:
            splits: the folder.
            sasrec: folder of `sasrec_embeddings`, where hard candidates lie if the recipe asks for such.

        Raises:
            InputError: the candidates are hard ones, and are not there.
        """
        return cls(splits, sasrec)

    @property
    def num_items(self) -> int:
        """How many items there are; their indices are 1 to `num_items`."""
        return len(self.items)

    @property
    def num_users(self) -> int:
        """How many users there are; their indices are 0 to `num_users` - 1."""
        return len(self.users)

    def sample_ids(self, slice_name: SliceName) -> NDArray[np.int32]:
        """Return the ids of a slice's samples, ascending: int32."""
        assert slice_name in SAMPLED_SLICES, f"{slice_name} has no samples"
        return np.flatnonzero(self._samples.slice_code == SLICE_CODES[slice_name]).astype(np.int32)

    @property
    def candidate_kinds(self) -> tuple[str, ...]:
        """Columns of frozen candidates; the first, `candidates`, is what agents are trained and measured on."""
        return tuple(self._samples.candidates)

    def sample(self, sample_id: int, candidate_kind: str = "candidates") -> Sample:
        """Return one sample, with everything of its user before the target as history, oldest first.

        Args:
            sample_id: which one.
            candidate_kind: one of `candidate_kinds`.

        Raises:
            IndexError: there is no such sample.
        """
        columns = self._samples
        if not 0 <= sample_id < len(columns.user):
            raise IndexError(f"sample_id: found {sample_id}; expected 0 to {len(columns.user) - 1}")
        user = int(columns.user[sample_id])
        first = int(self._user_start[user])
        start, end = int(columns.history_start[sample_id]) - first, int(columns.history_end[sample_id]) - first
        return Sample(
            sample_id=int(sample_id),
            user=user,
            target=int(columns.target[sample_id]),
            timestamp=int(columns.timestamp[sample_id]),
            slice=_SLICE_NAMES[columns.slice_code[sample_id]],
            candidates=tuple(columns.candidates[candidate_kind][sample_id].tolist()),
            history=self._events_of(user)[start:end],
            target_is_warm=bool(columns.target_is_warm[sample_id]),
        )

    def user_rows(self, user: int) -> slice:
        """Return the rows of one user, oldest first."""
        return slice(int(self._user_start[user]), int(self._user_start[user + 1]))

    def _events_of(self, user: int) -> tuple[Event, ...]:
        """Every event of a user, built once: samples of one user share their history."""
        if user not in self._events:
            rows = self.user_rows(user)
            triples = zip(
                self.item[rows].tolist(), self.timestamp[rows].tolist(), self.rating[rows].tolist(), strict=True
            )
            self._events[user] = tuple(
                Event(item, time, None if rating != rating else rating) for item, time, rating in triples
            )
        return self._events[user]


class _SampleColumns:
    """The table of samples, a column each; row number = sample id."""

    def __init__(self, path: Path, candidates: Path) -> None:
        further = sorted(name for name in pl.read_parquet_schema(path) if name.startswith("candidates_"))
        self.candidates = {  # (S, C) each
            "candidates": _column(candidates, "candidates", np.int32),
            **{name: _column(path, name, np.int32) for name in further},
        }
        self.user = _column(path, "user", np.int32)
        self.target = _column(path, "target", np.int32)
        self.timestamp = _column(path, "timestamp", np.int64)
        self.slice_code = _column(path, "slice", np.int8)
        self.history_start = _column(path, "history_start", np.int64)
        self.history_end = _column(path, "history_end", np.int64)
        self.target_is_warm = _column(path, "target_is_warm", np.bool_)


def frozen_sha256(splits: Path, sasrec: Path) -> str:
    """Return the hash of the candidates that agents are measured on: equal only for equal test sets."""
    file = _candidates_file(splits, sasrec)
    facts = sasrec / HARD_FACTS if file.name == HARD_CANDIDATES else splits / "splits.json"
    return str(read_json(facts)["candidates_sha256"])


def _candidates_file(splits: Path, sasrec: Path | None) -> Path:
    """The one file with the column `candidates`."""
    samples = splits / "samples.parquet"
    if "candidates" in pl.read_parquet_schema(samples):
        return samples
    if sasrec is None or not (sasrec / HARD_CANDIDATES).is_file():
        raise InputError(
            sasrec or samples,
            found="no candidates",
            expected=f"{HARD_CANDIDATES}, for the recipe's negatives are sasrec_hard",
            next_step="Run the stage sasrec_embeddings again.",
        )
    return sasrec / HARD_CANDIDATES


def _column(path: Path, name: str, dtype: Any) -> NDArray[Any]:
    """Read one column into a read-only array: many readers share one store, and none of them may change it.

    One at a time, and copied part by part, so that at ten million rows the peak is little more than the arrays.
    """
    column = pl.read_parquet(path, columns=[name]).to_series()
    if column.dtype == pl.List:
        column = column.list.to_array(len(column[0]) if len(column) else 0)
    shape = (len(column), *(column.dtype.shape if isinstance(column.dtype, pl.Array) else ()))
    array = np.empty(shape, dtype=dtype)
    done = 0
    for part in column.get_chunks():
        array[done : done + len(part)] = _plain(part).to_numpy()
        done += len(part)
    array.setflags(write=False)
    return array


def _plain(part: pl.Series) -> pl.Series:
    """Slices as their codes, and absent ratings as NaN."""
    if part.dtype in (pl.String, pl.Enum):
        return part.cast(SLICE_TYPE).to_physical()
    return part.fill_null(float("nan")) if part.dtype.is_float() else part
