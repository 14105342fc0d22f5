"""Time cut in four, oldest first, at dates that hold for every user.

Splits by user (leave one out) let tools that were fitted on one user's later events judge another user's earlier ones;
here a row's slice follows from its time alone.
"""

from itertools import pairwise

import polars as pl

from recops.config.validated_splits import SlicesConfig
from recops.data.samples import SAMPLED_SLICES, SLICE_CODES, SLICE_TYPE
from recops.errors import InputError
from recops.records import SliceName


def slice_starts(timestamps: pl.Series, config: SlicesConfig) -> dict[SliceName, int]:
    """Return the first time, in milliseconds, that belongs to each slice after `tool_fit`.

    A boundary is the time of the interaction at the slice's quantile: rows of equal time are never parted.

    Raises:
        InputError: the times do not differ enough for four slices.
    """
    ordered = timestamps.sort()
    starts: dict[SliceName, int] = {}
    older = config.tool_fit
    for name in SAMPLED_SLICES:
        starts[name] = int(ordered[min(round(older * len(ordered)), len(ordered) - 1)])
        older += getattr(config, name)
    bounds = [int(ordered[0]), *starts.values()]
    if any(low >= high for low, high in pairwise(bounds)):
        raise InputError(
            "validated_splits.slices",
            found=f"slices that would start at {bounds} (milliseconds), {len(ordered)} interactions",
            expected="four slices, each later than the one before",
            next_step="Take a source with more different times, or change the fractions.",
        )
    return starts


def slice_column(starts: dict[SliceName, int]) -> pl.Expr:
    """Return the slice's name of a row by its `timestamp`."""
    name = pl.lit("tool_fit")
    for slice_name in SAMPLED_SLICES:
        name = pl.when(pl.col("timestamp") >= starts[slice_name]).then(pl.lit(slice_name)).otherwise(name)
    return name.cast(SLICE_TYPE).alias("slice")


def slice_facts(interactions: pl.DataFrame, samples: pl.DataFrame) -> dict[SliceName, dict[str, int]]:
    """Return per slice its rows, its samples, those with a cold target, and its first and last time."""
    return {name: _facts(name, interactions, samples) for name in SLICE_CODES}


def _facts(name: SliceName, interactions: pl.DataFrame, samples: pl.DataFrame) -> dict[str, int]:
    times = interactions.filter(pl.col("slice") == name)["timestamp"]
    mine = samples.filter(pl.col("slice") == name)
    return {
        "num_interactions": len(times),
        "num_samples": len(mine),
        "num_cold_targets": int((~mine["target_is_warm"]).sum()),
        "first_timestamp": int(times.to_numpy().min()),
        "last_timestamp": int(times.to_numpy().max()),
    }
