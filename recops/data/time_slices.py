"""Time cut in four, oldest first, at dates that hold for every user.

Splits by user (leave one out) let tools that were fitted on one user's later events judge another user's earlier ones;
here a row's slice follows from its time alone.
"""

from itertools import pairwise

import polars as pl

from recops.config.validated_splits import TemporalConfig
from recops.data.samples import SAMPLED_SLICES, SLICE_TYPE
from recops.errors import InputError
from recops.records import SliceName


def slice_starts(timestamps: pl.Series, config: TemporalConfig) -> dict[SliceName, int]:
    """Return the first time, in milliseconds, that belongs to each slice after `tool_fit`.

    A boundary is the time of the interaction at the slice's quantile: rows of equal time are never parted. Without a
    share of its own, `tool_fit` is empty.

    Raises:
        InputError: the times do not differ enough for the slices.
    """
    ordered = timestamps.sort()
    starts: dict[SliceName, int] = {}
    older = config.tool_fit
    for name in SAMPLED_SLICES:
        starts[name] = int(ordered[min(round(older * len(ordered)), len(ordered) - 1)])
        older += getattr(config, name)
    bounds = [int(ordered[0]), *starts.values()] if config.tool_fit else list(starts.values())
    if any(low >= high for low, high in pairwise(bounds)):
        raise InputError(
            "validated_splits.split",
            found=f"slices that would start at {bounds} (milliseconds), {len(ordered)} interactions",
            expected=f"{len(bounds)} slices, each later than the one before",
            next_step="Take a source with more different times, or change the fractions.",
        )
    return starts


def time_slices(interactions: pl.DataFrame, config: TemporalConfig) -> pl.Series:
    """Return the slice of each row by its `timestamp`.

    Raises:
        InputError: as `slice_starts`.
    """
    name = pl.lit("tool_fit", dtype=SLICE_TYPE)
    for slice_name, start in slice_starts(interactions["timestamp"], config).items():
        newer = pl.lit(slice_name, dtype=SLICE_TYPE)
        name = pl.when(pl.col("timestamp") >= start).then(newer).otherwise(name)
    return interactions.select(name.alias("slice")).to_series()
