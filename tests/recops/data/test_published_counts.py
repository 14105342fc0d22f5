"""The comparison of a data set with the counts published beside it: a difference in any key is seen."""

import json
import sys
from pathlib import Path
from typing import Any

import pytest

from benchmarks import published_counts as module
from benchmarks.published_counts import comparison, counts
from recops.artifacts import file_sha256, write_manifest
from recops.config.raw_data import RawDataConfig
from recops.data.source_files import find_source_files
from recops.data.sources import run_raw_data
from tests.recops.data.small_source import DAY, FIRST_TIME, meta, review, stage_io, write_lines

FOUR_DAYS = [review(timestamp=FIRST_TIME + day * DAY, rating=5.0) for day in range(4)]
REVIEWS = [*FOUR_DAYS, FOUR_DAYS[0], review(user_id="u2", parent_asin="i2", rating=None, text="")]
ITEMS = [
    meta(main_category=None, rating_number=0, features=[]),
    meta(parent_asin="i2", price="from 12.99", store=None, description=[" "], rating_number=None, features=["Red"]),
]


def published(files: Path) -> dict[str, Any]:
    """What the files above hold, counted by eye."""
    return {
        "interactions": 6,
        "users": 2,
        "items_interacted": 2,
        "items_in_meta": 2,
        "density": 1.5,
        "interactions_per_user": {"min": 1, "median": 3, "mean": 3.0, "max": 5},
        "users_with_at_least_5": 1,
        "items_with_at_least_5": 1,
        "first_day": "2020-09-13",
        "last_day": "2020-09-16",
        "share_reviews_with": {
            "rating": 0.8333,
            "timestamp": 1.0,
            "title": 1.0,
            "text": 0.8333,
            "verified_purchase": 1.0,
        },
        "share_items_with": {
            "title": 1.0,
            "main_category": 0.5,
            "categories": 1.0,
            "store": 0.5,
            "price": 0.5,
            "average_rating": 1.0,
            "rating_number": 0.5,
            "features": 0.5,
            "description": 0.5,
        },
        "rating_counts": {"5.0": 5, "None": 1},
        "rows_repeating_user_item_timestamp": 1,
        "rows_repeating_user_item": 4,
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)} for path in sorted(files.iterdir())
        },
    }


@pytest.fixture
def found(tmp_path: Path) -> dict[str, Any]:
    files = tmp_path / "files"
    files.mkdir()
    write_lines(files / "reviews.jsonl", REVIEWS)
    write_lines(files / "meta.jsonl.gz", ITEMS)
    source = {"kind": "amazon_reviews_2023", "folder": str(files), "reviews": "reviews.jsonl", "meta": "meta.jsonl.gz"}
    config = RawDataConfig.model_validate({"source": source})
    io = stage_io("raw_data", tmp_path)
    run_raw_data(io, config, seed=7)
    write_manifest(io.out, {})
    return counts(io.out, find_source_files(config.source, tmp_path))


def changed(table: dict[str, Any], path: tuple[str, ...]) -> dict[str, Any]:
    """Return the table with another value at one of its leaves."""
    key, *rest = path
    value = changed(table[key], tuple(rest)) if rest else f"not {table[key]}"
    return {**table, key: value}


def paths(table: dict[str, Any]) -> list[tuple[str, ...]]:
    return [
        (key, *rest) for key, value in table.items() for rest in (paths(value) if isinstance(value, dict) else [()])
    ]


def test_a_data_set_agrees_with_what_was_counted_by_eye(found: dict[str, Any], tmp_path: Path) -> None:
    lines, agree = comparison(found, published(tmp_path / "files"))
    assert [line for line in lines if "DIFFERS" in line] == []
    assert agree


def test_a_difference_in_any_one_key_is_named(found: dict[str, Any], tmp_path: Path) -> None:
    expected = published(tmp_path / "files")
    assert len(paths(expected)) == 35
    for path in paths(expected):
        lines, agree = comparison(found, changed(expected, path))
        assert not agree
        assert [line.split("`")[1] for line in lines if "DIFFERS" in line] == [" / ".join(path)]


def test_a_key_that_only_one_side_has_is_a_difference(found: dict[str, Any], tmp_path: Path) -> None:
    expected = published(tmp_path / "files")
    more, agree = comparison(found, {**expected, "languages": 3})
    assert ("| `languages` | not counted | 3 | DIFFERS |" in more, agree) == (True, False)
    del expected["rating_counts"]["None"]
    fewer, agree = comparison(found, expected)
    assert ("| `rating_counts / None` | 1 | not published | DIFFERS |" in fewer, agree) == (True, False)


@pytest.mark.parametrize(("wrong", "status"), [(False, 0), (True, 1)])
def test_the_command_exits_with_one_where_a_count_differs(
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    found: dict[str, Any],
    capsys: pytest.CaptureFixture[str],
    *,
    wrong: bool,
    status: int,
) -> None:
    files = tmp_path / "files"
    expected = published(files)
    (files / "stats.json").write_text(json.dumps(changed(expected, ("users",)) if wrong else expected))
    recipe = (Path(__file__).parents[3] / "recipes" / "electronics_small.yaml").read_text(encoding="utf-8")
    (tmp_path / "recipes").mkdir()
    text = recipe.replace("name: electronics_small", "name: small")
    text = text.replace("${RECOPS_DATA:-../shared/data}/amazon2023_electronics_small", str(files))
    (tmp_path / "recipes" / "small.yaml").write_text(
        text.replace("reviews: reviews.jsonl.gz", "reviews: reviews.jsonl")
    )
    monkeypatch.setenv("RECOPS_ROOT", str(tmp_path))
    monkeypatch.setattr(sys, "argv", ["published_counts", "--recipe", "small"])
    with pytest.raises(SystemExit) as ended:
        module.main()
    assert ended.value.code == status
    assert ("| `users` | 2 | not 2 | DIFFERS |" in capsys.readouterr().out) == wrong
