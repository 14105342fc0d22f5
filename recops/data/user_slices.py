"""Leave one out: each user's own last interactions are the test, whenever they were.

The published protocol of many sequential recommenders. By construction it lets tools that were fitted on one user's
later events judge another user's earlier ones; docs/splits.md says what this leaks. N rows.
"""

import numpy as np
import polars as pl

from recops.config.validated_splits import LeaveOneOutConfig
from recops.data.samples import SLICE_CODES, SLICE_TYPE

MIN_INTERACTIONS = 3
"""Users with fewer have nothing to train on once two are held out: all of theirs are `tool_fit`."""


def user_slices(interactions: pl.DataFrame, config: LeaveOneOutConfig) -> pl.Series:
    """Return the slice of each row by its place among its user's rows.

    Args:
        interactions: sorted by user, time, order in the file.
        config: how many rows of each user train the policy.
    """
    users_N = interactions["user"].to_numpy()
    starts_N, ends_N = (np.searchsorted(users_N, users_N, side=side) for side in ("left", "right"))
    rows_N = np.arange(len(users_N))
    from_end_N = ends_N - 1 - rows_N
    num_policy_train = len(users_N) if config.policy_train_per_user is None else config.policy_train_per_user
    trains_N = (from_end_N < 2 + num_policy_train) & (rows_N > starts_N)  # a first row has no history: no sample
    codes_N = np.where(trains_N, SLICE_CODES["policy_train"], SLICE_CODES["tool_fit"])
    codes_N = np.where(from_end_N == 1, SLICE_CODES["valid"], codes_N)
    codes_N = np.where(from_end_N == 0, SLICE_CODES["test"], codes_N)
    codes_N = np.where(ends_N - starts_N < MIN_INTERACTIONS, SLICE_CODES["tool_fit"], codes_N)
    return pl.Series("slice", list(SLICE_CODES), dtype=SLICE_TYPE).gather(codes_N)
