"""`validated_splits` in small, with something to learn: whoever takes item n takes item n + 1 next."""

from collections.abc import Mapping
from pathlib import Path

import numpy as np
import polars as pl

from recops.artifacts import write_json, write_manifest
from recops.config.agent import AgentConfig, LastItemsConfig, MergeConfig, RewardConfig
from recops.config.sasrec_embeddings import CrossEntropy, SasrecConfig
from recops.paths import Layout
from recops.stage import StageName
from recops.stage_io import StageIO

NUM_USERS, NUM_ITEMS, LENGTH, NUM_CANDIDATES, DAY = 60, 24, 9, 6, 86_400_000
FRESH_ITEM = NUM_ITEMS
"""Taken by nobody in `tool_fit`."""

AGENT = AgentConfig(
    engine="transformers",
    loop="react",
    tools=("rank_by_next_item",),
    max_calls=3,
    num_ranked=4,
    history_length=5,
    memory=LastItemsConfig(kind="last_items"),
    history_fields=(),
    candidate_fields=(),
    tool_fields=(),
    profile_parts=("categories", "stores", "price", "rating", "span"),
    merge=MergeConfig(rank_constant=1.0, lead_factor=1.5),
    popularity_window_days=3,
    max_title_characters=40,
    max_completion_tokens=64,
    reward=RewardConfig(ndcg=1.0, absent=-0.5, invalid=-1.0, tool_bonus=0.1, call_cost=0.0, own={}),
)
SASREC = SasrecConfig(
    width=16,
    num_layers=1,
    num_heads=2,
    max_length=6,
    dropout=0.1,
    training_sequences="windows",
    loss=CrossEntropy(kind="cross_entropy", precision="float32"),
    batch_size=16,
    learning_rate=0.003,
    warmup_steps=0,
    weight_decay=0.0,
    average_decay=0.0,
    max_epochs=4,
    patience_epochs=2,
    exact_search_max_users=1000,
)


class SilentTracker:
    run_id = "run"

    def __init__(self) -> None:
        self.steps: list[tuple[int | None, set[str]]] = []

    def log_metrics(self, values: Mapping[str, float], *, step: int | None) -> None:
        self.steps.append((step, set(values)))

    def log_file(self, path: Path) -> None:
        assert path.is_file()


def interactions() -> pl.DataFrame:
    """Each user walks from a random item; one step a day, users a few hours apart; the last three steps are samples."""
    starts = np.random.default_rng(0).integers(0, NUM_ITEMS - 1, NUM_USERS)
    steps = np.tile(np.arange(LENGTH), NUM_USERS)
    users = np.repeat(np.arange(NUM_USERS), LENGTH)
    names = np.array(["tool_fit"] * (LENGTH - 3) + ["policy_train", "valid", "test"])
    columns = {
        "user": users.astype(np.int32),
        "item": ((starts[users] + steps) % (NUM_ITEMS - 1) + 1).astype(np.int32),
        "timestamp": (steps + 20_000) * DAY + users % 5 * 3_600_000,
        "rating": np.full(len(users), 4.0, dtype=np.float32),
        "slice": names[steps],
    }
    return pl.DataFrame(columns)


def write_splits(folder: Path, rows: pl.DataFrame | None = None) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    rows = interactions() if rows is None else rows
    rows.write_parquet(folder / "interactions.parquet")
    items().write_parquet(folder / "items.parquet")
    users = {"user": np.arange(NUM_USERS, dtype=np.int32), "user_id": [f"u{n}" for n in range(NUM_USERS)]}
    pl.DataFrame(users).write_parquet(folder / "users.parquet")
    _samples(rows).write_parquet(folder / "samples.parquet")
    write_json(folder / "splits.json", {"fitted_slices": ["tool_fit"], "candidates": {"negatives": "uniform"}})
    write_manifest(folder, {})
    return folder


def items() -> pl.DataFrame:
    numbers = range(1, NUM_ITEMS + 1)
    empty = {name: [None] * NUM_ITEMS for name in ("store", "price", "average_rating")}
    return pl.DataFrame(
        {
            "item": list(numbers),
            "item_id": [f"i{n}" for n in numbers],
            "title": [f"kind{n % 4} thing" for n in numbers],
            "category": [f"group{n % 2}" for n in numbers],
            **empty,
            "description": [None] * NUM_ITEMS,
        },
        schema_overrides={"item": pl.Int32, "store": pl.String, "description": pl.String},
    )


def stage_io(root: Path, stage: StageName) -> StageIO:
    """A stage's doors over artefacts in `root`, with a new output folder and the same checkpoints every time."""
    layout = Layout(root, "small")
    out = layout.artefact(stage)
    out.mkdir(parents=True, exist_ok=True)
    layout.checkpoints(stage).mkdir(parents=True, exist_ok=True)
    return StageIO(stage, layout, out, layout.checkpoints(stage), SilentTracker())


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def _samples(rows: pl.DataFrame) -> pl.DataFrame:
    generator = np.random.default_rng(1)
    first = rows["user"].search_sorted(rows["user"], side="left").to_numpy()
    warm = set(rows.filter(pl.col("slice") == "tool_fit")["item"])
    chosen = np.flatnonzero((rows["slice"] != "tool_fit").to_numpy())
    records = []
    for row in chosen:
        user, target = int(rows["user"][int(row)]), int(rows["item"][int(row)])
        others = [item for item in range(1, NUM_ITEMS + 1) if item != target]
        candidates = generator.permutation([target, *generator.choice(others, NUM_CANDIDATES - 1, replace=False)])
        records.append(
            {
                "sample_id": len(records),
                "user": user,
                "target": target,
                "timestamp": rows["timestamp"][int(row)],
                "slice": rows["slice"][int(row)],
                "history_start": int(first[row]),
                "history_end": int(row),
                "target_is_warm": target in warm,
                "candidates": candidates.tolist(),
            }
        )
    narrow = {"sample_id": pl.Int32, "user": pl.Int32, "target": pl.Int32, "candidates": pl.List(pl.Int32)}
    return pl.DataFrame(records, schema_overrides=narrow)
