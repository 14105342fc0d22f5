"""Samples from sorted interactions, and their frozen candidate sets."""

from collections.abc import Sequence

import numpy as np
import polars as pl

from recops.config.validated_splits import CandidatesConfig
from recops.data.candidates import candidate_set, sample_generator
from recops.data.samples import SAMPLED_SLICES
from recops.progress import progress


def build_samples(interactions: pl.DataFrame) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return one sample per interaction outside `tool_fit` that has a history, and how many were dropped and why.

    Args:
        interactions: sorted by user, time, order in the file, with `slice`.

    Returns:
        The samples without candidates, and counts per reason. A target that stands in its own history is dropped: it
        would be the one candidate that no negative can match.
    """
    rows = interactions.with_row_index("history_end").with_columns(
        pl.col("history_end").cast(pl.Int64).min().over("user").alias("history_start"),
        pl.col("history_end").cast(pl.Int64),
        pl.col("item").cum_count().over("user", "item").alias("times_taken"),
    )
    warm = interactions.filter(pl.col("slice") == "tool_fit")["item"].unique()
    rows = rows.filter(pl.col("slice").is_in(SAMPLED_SLICES))
    with_history = rows.filter(pl.col("history_end") > pl.col("history_start"))
    samples = with_history.filter(pl.col("times_taken") == 1)
    dropped = {
        "samples_without_history": len(rows) - len(with_history),
        "samples_with_target_in_history": len(with_history) - len(samples),
    }
    columns = ("user", "item", "timestamp", "slice", "history_start", "history_end")
    samples = samples.select(*columns, pl.col("item").is_in(warm.implode()).alias("target_is_warm"))
    numbered = samples.rename({"item": "target"}).with_row_index("sample_id")
    return numbered.with_columns(pl.col("sample_id").cast(pl.Int32)), dropped


def with_candidates(
    samples: pl.DataFrame,
    interactions: pl.DataFrame,
    *,
    user_ids: Sequence[str],
    item_ids: Sequence[str],
    config: CandidatesConfig,
    seed: int,
) -> pl.DataFrame:
    """Add each sample's frozen candidate set.

    Args:
        samples: as `build_samples` returns them.
        interactions: the rows that the samples' histories point to.
        user_ids, item_ids: id of user i, and of item i + 1.
        config: how many candidates, and with which chances.
        seed: the recipe's seed.

    Raises:
        InputError: there are too few items.
    """
    taken = interactions["item"].to_numpy()
    item_counts = np.bincount(taken, minlength=len(item_ids) + 1)[1:]
    columns = samples.select("user", "target", "timestamp", "history_start", "history_end")
    sets: list[list[int]] = []
    with progress("drawing candidates", len(samples)) as meter:
        for user, target, timestamp, start, end in columns.iter_rows():
            own = sample_generator(seed, user_id=user_ids[user], item_id=item_ids[target - 1], timestamp=timestamp)
            row = candidate_set(target, taken[start:end], config=config, item_counts=item_counts, generator=own)
            sets.append(row.tolist())
            meter.advance()
    return samples.with_columns(pl.Series("candidates", sets, dtype=pl.List(pl.Int32)))
