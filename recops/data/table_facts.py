"""Numbers over whole tables that say whether they can be trusted: every row is seen, and a number is all that is kept.

S samples, C candidates, N interaction rows (sorted by user, time, order in the file), I items from 1.
"""

from typing import Any

import numpy as np
import polars as pl

from recops.data.candidates import Items
from recops.data.clean import CleanTables, drop_exact_repeats
from recops.data.rules import EARLIEST_MILLISECONDS, LOWEST_RATING, TIME_UNITS
from recops.data.samples import SAMPLED_SLICES, SLICE_CODES
from recops.records import SliceName

_SETS_AT_ONCE = 100_000
Facts = dict[str, Any]


def interaction_facts(interactions: pl.DataFrame, clean: CleanTables, *, latest: int) -> Facts:
    """Return one number per property of the accepted interactions; `latest` in milliseconds."""
    users, times = (interactions[name].to_numpy() for name in ("user", "timestamp"))
    slices = interactions["slice"].to_physical().to_numpy()
    same_user = users[1:] == users[:-1]
    in_order = (users[1:] > users[:-1]) | (same_user & (times[1:] >= times[:-1]))
    outside = ~pl.col("timestamp").is_between(EARLIEST_MILLISECONDS, latest, closed="left")
    counted = interactions.select(
        pl.any_horizontal(pl.col("user", "item", "timestamp").is_null()).sum().alias("rows_without_id_or_time"),
        outside.sum().alias("times_out_of_range"),
        (~pl.col("rating").is_between(LOWEST_RATING, 5)).sum().alias("ratings_out_of_range"),
        (~pl.col("item").is_between(1, len(clean.items))).sum().alias("rows_of_unknown_items"),
        (~pl.col("user").is_between(0, len(clean.users) - 1)).sum().alias("rows_of_unknown_users"),
    )
    return {
        "num_rows": len(interactions),
        **counted.row(0, named=True),
        "rows_out_of_order": int((~in_order).sum()),
        "rows_of_an_older_slice": int((same_user & (slices[1:] < slices[:-1])).sum()),
        "repeated_rows": len(interactions) - len(drop_exact_repeats(interactions)),
        "fewest_rows_of_a_user": _fewest(interactions["user"], range(len(clean.users))),
        "fewest_rows_of_an_item": _fewest(interactions["item"], range(1, len(clean.items) + 1)),
    }


def source_facts(clean: CleanTables) -> Facts:
    """Return what a source's tables look like as a whole: how many users and items stay, titles, units of time."""
    reasons, items = clean.reason_counts, clean.screened["items"]
    found = reasons.get("interactions", {})
    wrong_units = sum(f"time_in_{unit}" in found for unit in TIME_UNITS)
    return {
        "num_users": len(clean.users),
        "num_items": len(clean.items),
        "untitled_fraction": reasons.get("items", {}).get("no_title", 0) / items.num_rows,
        "num_time_units": wrong_units + (clean.screened["interactions"].num_accepted > 0),
    }


def split_facts(slices: dict[SliceName, dict[str, int]]) -> pl.DataFrame:
    """Return a row per slice that has interactions, oldest first, with the milliseconds between it and the one before.

    `tool_fit`, which has no samples, counts as null.
    """
    names = ("num_interactions", "num_samples", "first_timestamp", "last_timestamp")
    rows = [
        {"slice": name, **{key: slices[name][key] for key in names}} for name in SLICE_CODES if slices[name][names[0]]
    ]
    gap = pl.col("first_timestamp") - pl.col("last_timestamp").shift(1)
    counted = pl.when(pl.col("slice").is_in(SAMPLED_SLICES)).then("num_samples").alias("num_samples")
    return pl.DataFrame(rows).with_columns(gap.alias("milliseconds_after_previous"), counted)


def candidate_facts(samples: pl.DataFrame, num_items: int) -> Facts:
    """Return what is wrong with the candidate sets, and how far the targets' places are from even.

    `target_place_excess` is the largest distance of a place's count from its expectation, in standard errors.
    """
    wrong = {"sets_without_their_target_once": 0, "sets_with_a_repeat": 0, "candidates_outside_the_catalogue": 0}
    places = np.zeros(samples["candidates"].to_numpy().shape[1], dtype=np.int64)
    for start in range(0, len(samples), _SETS_AT_ONCE):
        part = samples[start : start + _SETS_AT_ONCE]
        sets_SC, targets_S = part["candidates"].to_numpy(), part["target"].to_numpy()
        is_target_SC = sets_SC == targets_S[:, None]
        ordered_SC = np.sort(sets_SC, axis=1)
        wrong["sets_without_their_target_once"] += int((is_target_SC.sum(axis=1) != 1).sum())
        wrong["sets_with_a_repeat"] += int((ordered_SC[:, 1:] == ordered_SC[:, :-1]).any(axis=1).sum())
        wrong["candidates_outside_the_catalogue"] += int(((sets_SC < 1) | (sets_SC > num_items)).sum())
        places += is_target_SC.sum(axis=0)
    share = 1 / len(places)
    excess = np.abs(places - len(samples) * share).max() / np.sqrt(len(samples) * share * (1 - share))
    return {"num_sets": len(samples), **wrong, "target_place_excess": round(float(excess), 3)}


def negatives_in_history(samples: pl.DataFrame, items_N: Items) -> int:
    """Return how many candidates of these samples other than the target stand in the sample's history."""
    columns = zip(*(samples[name].to_list() for name in ("history_start", "history_end")), strict=True)
    rows = zip(columns, samples["target"].to_list(), samples["candidates"].to_numpy(), strict=True)
    return sum(
        int(np.isin(candidates[candidates != target], items_N[start:end]).sum())
        for (start, end), target, candidates in rows
    )


def _fewest(codes: pl.Series, expected: range) -> int:
    """Rows of the expected code that has fewest."""
    known = codes.filter(codes.is_between(expected.start, expected.stop - 1))
    return int(np.bincount(known.to_numpy(), minlength=expected.stop)[expected.start :].min())
