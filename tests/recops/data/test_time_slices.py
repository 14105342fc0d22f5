from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops.config.validated_splits import SlicesConfig
from recops.data.samples import SLICE_CODES
from recops.data.time_slices import slice_column, slice_starts
from recops.errors import InputError

SLICES = SlicesConfig(tool_fit=0.5, policy_train=0.2, valid=0.2, test=0.1)


def sliced(times: list[int]) -> pl.DataFrame:
    table = pl.DataFrame({"timestamp": times}, schema={"timestamp": pl.Int64})
    return table.with_columns(slice_column(slice_starts(table["timestamp"], SLICES)))


def test_slices_hold_their_share_of_the_rows() -> None:
    counts = dict(sliced(list(range(1000)))["slice"].value_counts().iter_rows())
    assert counts == {"tool_fit": 500, "policy_train": 200, "valid": 200, "test": 100}


@given(st.lists(st.integers(0, 40), min_size=4, max_size=80))
def test_no_slice_holds_a_time_of_a_later_slice_and_equal_times_stay_together(times: list[int]) -> None:
    try:
        table = sliced(times)
    except InputError:
        return  # too few different times for four slices: refused, see below
    parts = [table.filter(pl.col("slice") == name)["timestamp"].to_list() for name in SLICE_CODES]
    assert all(parts)
    for older, newer in pairwise(parts):
        assert max(older) < min(newer)


def test_times_that_cannot_be_cut_in_four_are_refused_with_the_boundaries() -> None:
    with pytest.raises(InputError, match=r"slices that would start at \[1, 1, 1, 2\] .* 10 interactions"):
        sliced([1] * 9 + [2])
