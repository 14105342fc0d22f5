"""How far a data set is from the last accepted version of it: rows, ratings, categories.

The profile is a part of the artefact, for it follows from the data alone; a comparison follows from what was accepted
before as well, and is made where a version is judged (`assets.checks`), so that equal data still gives equal bytes.
"""

from typing import Any

import polars as pl

from recops.data.expectations import Expectation, Seen, SuiteResult, run_suite

MAX_ROW_CHANGE = 0.2
MAX_DISTANCE = 0.1
"""Half of the sum of the absolute differences of shares: the part of the rows that would have to change sides."""
NUM_CATEGORIES = 100

Profile = dict[str, Any]


def profile(interactions: pl.DataFrame, categories: pl.DataFrame) -> Profile:
    """Return what later versions are compared with: the number of rows, and shares by rating and by category.

    Args:
        interactions: `item`, `rating`.
        categories: `item`, `category`; only the `NUM_CATEGORIES` most frequent are told apart.
    """
    shown = pl.col("rating").cast(pl.String).fill_null("none")
    per_item = interactions.group_by("item").len("rows").join(categories, on="item")
    by_category = per_item.group_by(pl.col("category").fill_null("none")).agg(pl.col("rows").sum())
    ordered = by_category.sort(["rows", "category"], descending=[True, False])
    shares = {name: rows / len(interactions) for name, rows in ordered.head(NUM_CATEGORIES).iter_rows()}
    rounded = interactions.group_by(pl.col("rating").round().cast(pl.Int32)).len()
    ratings = rounded.with_columns(shown).sort("rating")
    return {
        "num_rows": len(interactions),
        "ratings": {name: rows / len(interactions) for name, rows in ratings.iter_rows()},
        "categories": {**shares, "all others": max(0.0, 1 - sum(shares.values()))},
    }


def judge_drift(now: Profile, before: Profile) -> SuiteResult:
    """Run the suite `drift`, all of it of severity warning, over one row of distances."""
    distances = {
        "row_change": now["num_rows"] / before["num_rows"] - 1,
        "rating_distance": _distance(now["ratings"], before["ratings"]),
        "category_distance": _distance(now["categories"], before["categories"]),
    }
    bounds = {
        "row_change": (-MAX_ROW_CHANGE, MAX_ROW_CHANGE, f"at most {MAX_ROW_CHANGE:.0%} more or fewer rows"),
        "rating_distance": (0, MAX_DISTANCE, f"at most {MAX_DISTANCE:.0%} of the rows with another rating"),
        "category_distance": (0, MAX_DISTANCE, f"at most {MAX_DISTANCE:.0%} of the rows in another category"),
    }
    expectations = [
        Expectation(
            "ExpectColumnValuesToBeBetween", {"column": name, "min_value": low, "max_value": high}, "warning", told
        )
        for name, (low, high, told) in bounds.items()
    ]
    result = run_suite("drift", pl.DataFrame([distances]), expectations, Seen(1, 1, None))
    return SuiteResult(result.success, result.failed, {**result.facts, "distances": distances})


def _distance(one: dict[str, float], two: dict[str, float]) -> float:
    names = sorted({*one, *two})
    return sum(abs(one.get(name, 0.0) - two.get(name, 0.0)) for name in names) / 2
