from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops.config.validated_splits import TemporalConfig
from recops.data.samples import SLICE_CODES
from recops.data.time_slices import time_slices
from recops.errors import InputError
from tests.recops.data.mostly_accepted import mostly_accepted
from tests.recops.data.small_source import temporal

SLICES = TemporalConfig.model_validate(temporal(0.5, 0.2, 0.2, 0.1))
NAIVE = TemporalConfig.model_validate(temporal(0.0, 0.8, 0.1, 0.1, fitted_on="training"))
TIMES = (
    st.lists(st.tuples(st.integers(0, 99), st.integers(1, 4)), min_size=12, max_size=40, unique_by=lambda one: one[0])
    .map(lambda ties: [time for time, count in ties for _ in range(count)])
    .flatmap(st.permutations)
)
"""Twelve different times or more, each up to four times: enough of them for four slices, nearly always."""


def sliced(times: list[int], config: TemporalConfig = SLICES) -> pl.DataFrame:
    table = pl.DataFrame({"timestamp": times}, schema={"timestamp": pl.Int64})
    return table.with_columns(time_slices(table, config))


def test_slices_hold_their_share_of_the_rows() -> None:
    counts = dict(sliced(list(range(1000)))["slice"].value_counts().iter_rows())
    assert counts == {"tool_fit": 500, "policy_train": 200, "valid": 200, "test": 100}


def test_eight_to_one_to_one_leaves_tool_fit_empty() -> None:
    counts = dict(sliced(list(range(1000)), NAIVE)["slice"].value_counts().iter_rows())
    assert counts == {"policy_train": 800, "valid": 100, "test": 100}


def test_no_slice_holds_a_time_of_a_later_slice_and_equal_times_stay_together() -> None:
    with mostly_accepted() as accepted:

        @given(TIMES, st.sampled_from([SLICES, NAIVE]))
        def holds(times: list[int], config: TemporalConfig) -> None:
            table = accepted(lambda: sliced(times, config))
            parts = [table.filter(pl.col("slice") == name)["timestamp"].to_list() for name in SLICE_CODES]
            assert [bool(part) for part in parts] == [config.tool_fit > 0, True, True, True]
            for older, newer in pairwise(filter(None, parts)):
                assert max(older) < min(newer)

        holds()


def test_times_that_cannot_be_cut_in_four_are_refused_with_the_boundaries() -> None:
    with pytest.raises(InputError, match=r"slices that would start at \[1, 1, 1, 2\] .* 10 interactions"):
        sliced([1] * 9 + [2])


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"tool_fit": 0.6}, "sum to 1.1"),
        ({"tool_fit": 0.7, "valid": 0.0}, "each need a share above 0"),
        ({"tool_fit": 0.0, "policy_train": 0.7}, "expected fitted_on: training"),
    ],
)
def test_fractions_that_make_no_slices_are_refused(changes: dict[str, float], words: str) -> None:
    with pytest.raises(ValueError, match=words):
        TemporalConfig.model_validate({**temporal(0.5, 0.2, 0.2, 0.1), **changes})
