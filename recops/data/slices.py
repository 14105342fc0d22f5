"""Which slice each interaction belongs to, by the recipe's protocol, and what each slice holds."""

import polars as pl

from recops.config.validated_splits import FittedOn, SplitConfig, TemporalConfig
from recops.data.samples import SAMPLED_SLICES, SLICE_CODES
from recops.data.time_slices import time_slices
from recops.data.user_slices import user_slices
from recops.errors import InputError
from recops.records import SliceName

FITTED_SLICES: dict[FittedOn, tuple[SliceName, ...]] = {
    "tool_fit": ("tool_fit",),
    "training": ("tool_fit", "policy_train"),
}
"""Slices whose rows SASRec and text statistics are fitted on; `splits.json` names them for those who fit."""


def with_slices(interactions: pl.DataFrame, config: SplitConfig) -> pl.DataFrame:
    """Add the column `slice` to interactions sorted by user, time, order in the file.

    Raises:
        InputError: the times do not differ enough for time slices.
    """
    if isinstance(config, TemporalConfig):
        return interactions.with_columns(time_slices(interactions, config))
    return interactions.with_columns(user_slices(interactions, config))


def check_slices(samples: pl.DataFrame, interactions: pl.DataFrame) -> None:
    """Check that every slice has samples.

    Raises:
        InputError: one has none.
    """
    for name in SAMPLED_SLICES:
        if not (samples["slice"] == name).any():
            raise InputError(
                f"validated_splits, slice {name}",
                found=f"no sample among {(interactions['slice'] == name).sum()} interactions",
                expected="at least one interaction of a user with earlier ones",
                next_step="Take a larger source, or change validated_splits.split.",
            )


def slice_facts(interactions: pl.DataFrame, samples: pl.DataFrame) -> dict[SliceName, dict[str, int]]:
    """Return per slice its rows, its samples, those that are cold or tied, and its first and last time.

    A target is cold where nothing fitted has seen it; a sample is tied where it has the time of the user's item before.
    """
    previous = interactions["timestamp"].gather(samples["history_end"] - 1)
    marked = samples.select("slice", "target_is_warm", tied=pl.col("timestamp") == previous)
    return {name: _facts(name, interactions, marked) for name in SLICE_CODES}


def _facts(name: SliceName, interactions: pl.DataFrame, samples: pl.DataFrame) -> dict[str, int]:
    times = interactions.filter(pl.col("slice") == name)["timestamp"]
    mine = samples.filter(pl.col("slice") == name)
    facts = {
        "num_interactions": len(times),
        "num_samples": len(mine),
        "num_cold_targets": int((~mine["target_is_warm"]).sum()),
        "num_tied_with_history": int(mine["tied"].sum()),
    }
    if len(times):
        facts |= {"first_timestamp": int(times.to_numpy().min()), "last_timestamp": int(times.to_numpy().max())}
    return facts
