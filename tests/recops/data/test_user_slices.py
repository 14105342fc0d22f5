import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops.config.validated_splits import FittedOn, LeaveOneOutConfig
from recops.data.user_slices import user_slices


def config(policy_train_per_user: int | None = 1, fitted_on: FittedOn = "tool_fit") -> LeaveOneOutConfig:
    return LeaveOneOutConfig(kind="leave_one_out", policy_train_per_user=policy_train_per_user, fitted_on=fitted_on)


def slices_of(counts: list[int], settings: LeaveOneOutConfig) -> list[list[str]]:
    """The slices of each user's rows, for users with so many rows."""
    users = pl.Series("user", [user for user, count in enumerate(counts) for _ in range(count)], dtype=pl.Int32)
    names = user_slices(users.to_frame(), settings)
    table = pl.DataFrame([users, names])
    return [table.filter(pl.col("user") == user)["slice"].to_list() for user in range(len(counts))]


@given(st.lists(st.integers(1, 8), min_size=1, max_size=6), st.sampled_from([1, 3, None]))
def test_the_last_item_is_the_test_and_the_one_before_it_valid(counts: list[int], per_user: int | None) -> None:
    settings = config(per_user, "training" if per_user is None else "tool_fit")
    for count, names in zip(counts, slices_of(counts, settings), strict=True):
        if count < 3:
            assert names == ["tool_fit"] * count
            continue
        trains = min(count - 3, count if per_user is None else per_user)
        assert names == [*["tool_fit"] * (count - 2 - trains), *["policy_train"] * trains, "valid", "test"]


def test_all_but_the_first_may_train_the_policy() -> None:
    assert slices_of([5], config(None, "training")) == [["tool_fit", "policy_train", "policy_train", "valid", "test"]]


def test_fitting_on_one_interaction_per_user_is_refused() -> None:
    with pytest.raises(ValueError, match="expected fitted_on: training"):
        config(None, "tool_fit")
