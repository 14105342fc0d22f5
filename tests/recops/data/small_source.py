"""The smallest real inputs: published-looking files, raw tables, and a StageIO without MLflow."""

import gzip
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recops.artifacts import write_manifest
from recops.config.validated_splits import ValidatedSplitsConfig
from recops.data import schema
from recops.paths import Layout
from recops.stage import StageName
from recops.stage_io import StageIO

FIRST_TIME = 1_600_000_000_000
DAY = 86_400_000


@dataclass
class ListTracker:
    """Stands at the door to MLflow and keeps what is recorded."""

    run_id: str = "test"
    metrics: list[tuple[Mapping[str, float], int | None]] = field(default_factory=list)
    files: list[Path] = field(default_factory=list)

    def log_metrics(self, values: Mapping[str, float], *, step: int | None) -> None:
        self.metrics.append((values, step))

    def log_file(self, path: Path) -> None:
        self.files.append(path)


def stage_io(stage: StageName, root: Path) -> StageIO:
    layout = Layout(root, "small")
    out = layout.artefact(stage)
    out.mkdir(parents=True, exist_ok=True)
    return StageIO(stage, layout, out, layout.checkpoints(stage), ListTracker())


def temporal(
    tool_fit: float, policy_train: float, valid: float, test: float, fitted_on: str = "tool_fit"
) -> dict[str, Any]:
    shares = {"tool_fit": tool_fit, "policy_train": policy_train, "valid": valid, "test": test}
    return {"kind": "temporal", **shares, "fitted_on": fitted_on}


def splits_config(**changes: Any) -> ValidatedSplitsConfig:
    content: dict[str, Any] = {
        "max_quarantine_fraction": 0.1,
        "validation": {
            "latest_date": "2024-01-01",
            "min_users": 2,
            "min_items": 2,
            "max_untitled_fraction": 0.5,
            "max_sampled_rows": 1000,
        },
        "window": None,
        "min_interactions_per_user": 2,
        "min_interactions_per_item": 2,
        "split": temporal(0.5, 0.2, 0.15, 0.15),
        "candidates": {"num_candidates": 5, "negatives": "uniform", "further_negatives": ["popularity"]},
    }
    return ValidatedSplitsConfig.model_validate({**content, **changes})


def raw_tables(num_users: int = 12, num_items: int = 24, events: int = 8) -> tuple[pl.DataFrame, pl.DataFrame]:
    """A busy little shop: every user takes `events` items, all times differ."""
    generator = np.random.default_rng(5)
    times = generator.permutation(num_users * events)
    rows = [
        (f"u{user:02d}", f"i{item:02d}", FIRST_TIME + int(times[user * events + step]) * DAY, 1.0 + (item + step) % 5)
        for user in range(num_users)
        for step, item in enumerate(generator.choice(num_items, events, replace=False))
    ]
    interactions = pl.DataFrame(rows, schema=["user_id", "item_id", "timestamp", "rating"], orient="row")
    items = pl.DataFrame(
        {
            "item_id": [f"i{item:02d}" for item in range(num_items)],
            "title": [f"Thing {item}" for item in range(num_items)],
            "category": "Things",
            "store": "Shop",
            "price": 9.99,
            "average_rating": 4.0,
            "description": pl.Series([None] * num_items, dtype=pl.String),
        }
    )
    return numbered(interactions, schema.INTERACTIONS), numbered(items, schema.ITEMS)


def numbered(table: pl.DataFrame, columns: schema.Schema) -> pl.DataFrame:
    """Number the rows from 1, as a reader does."""
    bare = table.drop("row", strict=False)
    return schema.in_schema(bare.with_row_index("row", offset=1), columns)


def write_raw_data(root: Path, interactions: pl.DataFrame, items: pl.DataFrame) -> None:
    folder = Layout(root, "small").artefact("raw_data")
    folder.mkdir(parents=True, exist_ok=True)
    interactions.write_parquet(folder / "interactions.parquet")
    items.write_parquet(folder / "items.parquet")
    write_manifest(folder, {})


def review(**changes: Any) -> dict[str, Any]:
    content = {"user_id": "u1", "parent_asin": "i1", "asin": "i1x", "rating": 4.0, "timestamp": FIRST_TIME}
    return {**content, "title": "Good", "text": "Very.", "verified_purchase": True, **changes}


def meta(**changes: Any) -> dict[str, Any]:
    content = {"parent_asin": "i1", "title": "Lamp", "main_category": "Home", "categories": ["Home", "Lamps"]}
    content |= {"store": "Shop", "price": 9.5, "average_rating": 4.1, "description": ["Bright.", "Warm."]}
    return {**content, **changes}


def write_lines(path: Path, lines: Iterable[Any]) -> Path:
    """Write JSON lines, zipped where the name ends in .gz; a string is written as it stands."""
    text = "".join((line if isinstance(line, str) else json.dumps(line)) + "\n" for line in lines)
    path.write_bytes(gzip.compress(text.encode()) if path.suffix == ".gz" else text.encode())
    return path
