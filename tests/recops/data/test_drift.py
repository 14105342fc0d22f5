"""Drift is seen in rows, ratings and categories, and each goes red alone."""

from pathlib import Path

import polars as pl
import pytest

from recops.data.drift import judge_drift, profile
from recops.tracked_run import tracked_run
from recops.tracking import accept_run, last_accepted


def table(rows: int = 100, stars: float = 5.0, kinds: int = 2) -> dict[str, object]:
    items = pl.Series("item", [1 + row % kinds for row in range(rows)])
    ratings = pl.Series("rating", [stars if row % 2 else None for row in range(rows)], dtype=pl.Float32)
    categories = pl.DataFrame({"item": [1, 2, 3, 4], "category": ["Lamps", "Cables", None, "Cases"]})
    return profile(pl.DataFrame([items, ratings]), categories)


def test_a_profile_holds_shares_that_sum_to_one() -> None:
    one = table(kinds=4)
    assert one["ratings"] == {"5": 0.5, "none": 0.5}
    assert one["categories"] == {"Cables": 0.25, "Cases": 0.25, "Lamps": 0.25, "none": 0.25, "all others": 0.0}


def test_equal_data_does_not_drift() -> None:
    result = judge_drift(table(), table())
    assert result.success
    assert set(result.facts["distances"].values()) == {0.0}


@pytest.mark.parametrize(
    ("now", "name"),
    [
        (table(rows=122), "row_change"),
        (table(rows=78), "row_change"),
        (table(stars=1.0), "rating_distance"),
        (table(kinds=1), "category_distance"),
    ],
)
def test_each_kind_of_drift_is_a_warning(now: dict[str, object], name: str) -> None:
    result = judge_drift(now, table())
    failed = [one for one in result.facts["expectations"] if not one["success"]]
    assert [(one["kwargs"]["column"], one["severity"]) for one in failed] == [(name, "warning")]


def test_a_version_is_compared_with_the_last_accepted_other_one(tmp_path: Path) -> None:
    def run(fingerprint: str) -> None:
        tags = {"stage": "validated_splits", "fingerprint": fingerprint}
        (tmp_path / "profile.json").write_text(f'{{"version": "{fingerprint}"}}')
        with tracked_run(tmp_path, experiment="r", name="s", parameters={}, tags=tags, resume=None) as tracker:
            tracker.log_file(tmp_path / "profile.json")

    def before(fingerprint: str) -> object:
        return last_accepted(tmp_path, "r", stage="validated_splits", fingerprint=fingerprint, file="profile.json")

    assert before("one") is None
    for name in ("one", "two", "refused"):
        run(name)
        if name != "refused":
            accept_run(tmp_path, "r", stage="validated_splits", fingerprint=name)
    assert before("three") == {"version": "two"}
    assert before("two") == {"version": "one"}
