import polars as pl
import pytest

from recops.data.samples import SLICE_TYPE
from recops.data.sampling import build_samples, taken_items
from recops.data.slices import check_slices, slice_facts
from recops.errors import InputError

ROWS = pl.DataFrame(
    [
        (0, 1, 10, "tool_fit"),
        (0, 2, 30, "policy_train"),
        (0, 3, 30, "policy_train"),
        (1, 1, 11, "tool_fit"),
        (1, 9, 40, "valid"),
        (2, 3, 50, "test"),
    ],
    schema={"user": pl.Int32, "item": pl.Int32, "timestamp": pl.Int64, "slice": SLICE_TYPE},
    orient="row",
)
SAMPLES, _ = build_samples(ROWS, taken_items(ROWS, 9), "tool_fit")


def test_rows_samples_cold_targets_and_ties_are_counted_per_slice() -> None:
    facts = slice_facts(ROWS, SAMPLES)
    assert facts["policy_train"] == {
        "num_interactions": 2,
        "num_samples": 2,
        "num_cold_targets": 2,
        "num_tied_with_history": 1,
        "first_timestamp": 30,
        "last_timestamp": 30,
    }
    assert facts["valid"]["num_tied_with_history"] == 0
    assert facts["tool_fit"]["num_samples"] == 0


def test_an_empty_slice_has_no_times() -> None:
    later = ROWS.filter(pl.col("slice") != "tool_fit")
    facts = slice_facts(later, build_samples(later, taken_items(later, 9), "training")[0])
    assert facts["tool_fit"] == {
        "num_interactions": 0, "num_samples": 0, "num_cold_targets": 0, "num_tied_with_history": 0
    }  # fmt: skip


def test_a_slice_without_samples_is_named() -> None:
    with pytest.raises(InputError, match="slice test: found no sample among 1 interactions"):
        check_slices(SAMPLES, ROWS)
