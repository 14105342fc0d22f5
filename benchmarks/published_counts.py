"""Whether what a recipe reads agrees with the counts published beside the files, in `stats.json`: every key of it.

After the stage `raw_data`: python -m benchmarks.published_counts --recipe electronics
Prints each key, found and expected, and exits with 1 where one differs. What `raw_data` keeps is counted in its
artefact; of the keys that it passes over, the source's lines tell how many have a value.
"""

import argparse
import json
import sys
from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import polars as pl

from recops.artifacts import file_sha256, read_json, verify
from recops.config.recipe import load_recipe
from recops.data.byte_blocks import read_blocks
from recops.data.source_files import SourceFiles, find_source_files, missing_file
from recops.paths import Layout, project_root

KEPT_OF_REVIEWS = {"rating": "rating", "timestamp": "timestamp"}
KEPT_OF_ITEMS = {name: name for name in ("title", "store", "price", "average_rating", "description")}
KEPT_OF_ITEMS["categories"] = "category"
PASSED_OVER_OF_REVIEWS = ("title", "text", "verified_purchase")
PASSED_OVER_OF_ITEMS = ("main_category", "rating_number", "features")
AT_LEAST = 5

Counts = dict[str, Any]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="electronics")
    layout = Layout(project_root(), parser.parse_args().recipe)
    files = find_source_files(load_recipe(layout.recipe_file).raw_data.source, layout.root)
    published, raw = files.folder / "stats.json", layout.artefact("raw_data")
    if not published.is_file():
        raise missing_file(published)
    verify(raw)
    lines, agree = comparison(counts(raw, files), read_json(published))
    print("\n".join(lines))
    sys.exit(0 if agree else 1)


def comparison(found: Counts, expected: Counts) -> tuple[list[str], bool]:
    """Return a line per key of either side, as Markdown, and whether all of them agree."""
    ours, theirs = _flat(found), _flat(expected)
    lines = ["| key | found | expected | |", "|---|---:|---:|---|"]
    agree = True
    for key in dict.fromkeys((*theirs, *ours)):
        mine, published = ours.get(key, "not counted"), theirs.get(key, "not published")
        agree &= mine == published
        lines.append(f"| `{key}` | {mine} | {published} | {'' if mine == published else 'DIFFERS'} |")
    return lines, agree


def counts(raw: Path, files: SourceFiles) -> Counts:
    """Return what `stats.json` tells, in its own keys, of the artefact `raw_data` and the source's files."""
    interactions, items = (pl.read_parquet(raw / f"{name}.parquet") for name in ("interactions", "items"))
    return {
        **_sizes(interactions, items),
        "share_reviews_with": {
            **_shares_of_columns(interactions, KEPT_OF_REVIEWS),
            **_shares_of_keys(files.interactions, PASSED_OVER_OF_REVIEWS),
        },
        "share_items_with": {
            **_shares_of_columns(items, KEPT_OF_ITEMS),
            **_shares_of_keys(files.items, PASSED_OVER_OF_ITEMS),
        },
        "rating_counts": {str(rating): count for rating, count in interactions["rating"].value_counts().iter_rows()},
        "rows_repeating_user_item_timestamp": _repeats(interactions, "user_id", "item_id", "timestamp"),
        "rows_repeating_user_item": _repeats(interactions, "user_id", "item_id"),
        "files": {
            path.name: {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
            for path in (*files.interactions, *files.items)
        },
    }


def _sizes(interactions: pl.DataFrame, items: pl.DataFrame) -> Counts:
    per_user, per_item = (interactions[name].value_counts()["count"] for name in ("user_id", "item_id"))
    days = pl.from_epoch(interactions["timestamp"], time_unit="ms").dt.date()
    return {
        "interactions": len(interactions),
        "users": len(per_user),
        "items_interacted": len(per_item),
        "items_in_meta": items["item_id"].n_unique(),
        "density": round(len(interactions) / (len(per_user) * len(per_item)), 6),
        "interactions_per_user": {
            "min": per_user.min(),
            "median": per_user.median(),
            "mean": round(len(interactions) / len(per_user), 2),
            "max": per_user.max(),
        },
        f"users_with_at_least_{AT_LEAST}": int((per_user >= AT_LEAST).sum()),
        f"items_with_at_least_{AT_LEAST}": int((per_item >= AT_LEAST).sum()),
        "first_day": str(days.min()),
        "last_day": str(days.max()),
    }


def _repeats(interactions: pl.DataFrame, *columns: str) -> int:
    """How many rows are left once the first of each kind is taken away."""
    return len(interactions) - len(interactions.select(columns).unique())


def _shares_of_columns(table: pl.DataFrame, columns: dict[str, str]) -> dict[str, float]:
    return {key: round(1 - table[column].null_count() / len(table), 4) for key, column in columns.items()}


def _shares_of_keys(paths: Sequence[Path], keys: Sequence[str]) -> dict[str, float]:
    """Return the share of lines with a value; empty texts and lists are none, 0 and false are some."""
    found: Counter[str] = Counter()
    num_lines = 0
    for line in _lines(paths):
        num_lines += 1
        found.update(key for key in keys if line.get(key) not in (None, "", []))
    return {key: round(found[key] / num_lines, 4) for key in keys}


def _lines(paths: Sequence[Path]) -> Iterator[dict[str, Any]]:
    for path in paths:
        for block in read_blocks(path):
            yield from map(json.loads, filter(bytes.strip, block.content.split(b"\n")))


def _flat(table: Counts, above: str = "") -> Counts:
    """Return the leaves, each by the keys on its way."""
    leaves: Counts = {}
    for key, value in table.items():
        leaves |= _flat(value, f"{above}{key} / ") if isinstance(value, dict) else {f"{above}{key}": value}
    return leaves


if __name__ == "__main__":
    main()
