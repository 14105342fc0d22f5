"""A small shop with readable items, ties in time, absent values and a cold item: real artefacts behind real tools."""

from pathlib import Path

import numpy as np
import polars as pl
import torch

from recops.artifacts import write_json, write_manifest
from recops.config.agent import AgentConfig
from recops.records import Task
from recops.retrieval.embeddings import catalogue_sha256, write_search
from recops.retrieval.sasrec import SasRec, save_sasrec
from recops.tools.toolbox import TOOLS, Toolbox
from tests.recops.agent.world import AGENT as SMALL_AGENT

STORES = ("Northwind", "Kingsmoor", "Glenrock", "Harbour")
NOUNS = {"Charging Dock": "Docks", "Racing Game": "Games", "Travel Kettle": "Kettles", "Desk Lamp": "Lamps",
         "Yoga Mat": "Mats"}  # fmt: skip
COLOURS = ("Copper", "Teal")
NUM_ITEMS = len(STORES) * len(NOUNS) * len(COLOURS)
NUM_USERS, LENGTH, NUM_CANDIDATES, WIDTH, DAY = 30, 8, 6, 8, 86_400_000
COLD_ITEM = NUM_ITEMS
"""Taken by nobody before the test slice."""
SLICES = ("tool_fit",) * 5 + ("policy_train", "valid", "test")

AGENT: AgentConfig = SMALL_AGENT.model_copy(
    update={
        "tools": tuple(TOOLS),
        "tool_fields": ("title", "price", "rating"),
        "profile_parts": ("habits", "categories", "stores", "price", "rating", "span"),
        "max_calls": 10,
    }
)


def load_shop(
    root: Path, agent: AgentConfig = AGENT, rows: pl.DataFrame | None = None, catalogue: pl.DataFrame | None = None
) -> Toolbox:
    """Write the shop, with these interactions and items instead of its own if given, and return its toolbox."""
    return Toolbox.load(*write_shop(root, rows, catalogue), agent, seed=3)


def write_shop(
    root: Path, rows: pl.DataFrame | None = None, catalogue: pl.DataFrame | None = None
) -> tuple[Path, Path]:
    """Write `validated_splits` and `sasrec_embeddings`; the samples and SASRec are always those of the shop's own
    interactions."""
    splits, sasrec, own = root / "splits", root / "sasrec", interactions()
    splits.mkdir(parents=True)
    (own if rows is None else rows).write_parquet(splits / "interactions.parquet")
    (items() if catalogue is None else catalogue).write_parquet(splits / "items.parquet")
    users = {"user": np.arange(NUM_USERS, dtype=np.int32), "user_id": [f"u{n}" for n in range(NUM_USERS)]}
    pl.DataFrame(users).write_parquet(splits / "users.parquet")
    _samples(own).write_parquet(splits / "samples.parquet")
    write_json(splits / "splits.json", {"fitted_slices": ["tool_fit"]})
    write_manifest(splits, {})
    _write_sasrec(sasrec, own)
    return splits, sasrec


def tasks(toolbox: Toolbox) -> list[Task]:
    """Every sample as a task."""
    ids = np.concatenate([toolbox.store.sample_ids(name) for name in ("policy_train", "valid", "test")]).tolist()
    return [Task(sample, sample.candidates, "rank") for sample in map(toolbox.store.sample, ids)]


def interactions() -> pl.DataFrame:
    """Users mostly take the next item, one every ten days; a third of them takes the last two at once."""
    generator = np.random.default_rng(0)
    taken = [_walk(generator, cold=user % 5 == 0) for user in range(NUM_USERS)]
    step, user = np.tile(np.arange(LENGTH), NUM_USERS), np.repeat(np.arange(NUM_USERS), LENGTH)
    tied = (step == LENGTH - 1) & (user % 3 == 0)
    rating = generator.integers(1, 6, len(user)).astype(np.float32)
    rating[generator.random(len(user)) < 0.1] = np.nan
    columns = {
        "user": user.astype(np.int32),
        "item": np.concatenate(taken).astype(np.int32),
        "timestamp": (20_000 + (step - tied) * 10) * DAY + user * 3_600_000,
        "rating": rating,
        "slice": np.array(SLICES)[step],
    }
    return pl.DataFrame(columns).with_columns(pl.col("rating").fill_nan(None))


def items() -> pl.DataFrame:
    """Every store sells everything in both colours; some prices, a category and a store are absent."""
    names = [(store, noun, colour) for noun in NOUNS for store in STORES for colour in COLOURS]
    prices = [None if n % 7 == 0 else 5.0 + (n * 37) % 90 for n in range(1, NUM_ITEMS + 1)]
    columns = {
        "item": list(range(1, NUM_ITEMS + 1)),
        "item_id": [f"i{n}" for n in range(1, NUM_ITEMS + 1)],
        "title": [f"{store} {noun}, {colour}" for store, noun, colour in names],
        "category": [None if n == 3 else NOUNS[noun] for n, (_, noun, _) in enumerate(names)],
        "store": ["" if n == 5 else store for n, (store, _, _) in enumerate(names)],
        "price": prices,
        "average_rating": [4.0] * NUM_ITEMS,
        "description": [None] * NUM_ITEMS,
    }
    types = {"item": pl.Int32, "price": pl.Float32, "average_rating": pl.Float32, "description": pl.String}
    return pl.DataFrame(columns, schema_overrides=types)


def _walk(generator: np.random.Generator, *, cold: bool) -> list[int]:
    taken = [int(generator.integers(1, NUM_ITEMS))]
    while len(taken) < LENGTH:
        follows = taken[-1] % (NUM_ITEMS - 1) + 1
        item = follows if generator.random() < 0.6 else int(generator.integers(1, NUM_ITEMS))
        if len(taken) == LENGTH - 1 and cold:
            item = COLD_ITEM
        if item not in taken:
            taken.append(item)
    return taken


def _samples(rows: pl.DataFrame) -> pl.DataFrame:
    generator = np.random.default_rng(1)
    warm = set(rows.filter(pl.col("slice") == "tool_fit")["item"])
    records = []
    for number, row in enumerate(rows.iter_rows(named=True)):
        if row["slice"] == "tool_fit":
            continue
        first = row["user"] * LENGTH
        history = set(rows["item"][first:number])
        others = [item for item in range(1, NUM_ITEMS + 1) if item not in history | {row["item"]}]
        drawn = generator.choice(others, NUM_CANDIDATES - 1, replace=False)
        records.append(
            {
                "sample_id": len(records), "user": row["user"], "target": row["item"], "timestamp": row["timestamp"],
                "slice": row["slice"], "history_start": first, "history_end": number,
                "target_is_warm": row["item"] in warm,
                "candidates": generator.permutation([row["item"], *drawn]).tolist(),
            }
        )  # fmt: skip
    narrow = {"sample_id": pl.Int32, "user": pl.Int32, "target": pl.Int32, "candidates": pl.List(pl.Int32)}
    return pl.DataFrame(records, schema_overrides=narrow)


def _write_sasrec(folder: Path, rows: pl.DataFrame) -> None:
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = SasRec(NUM_ITEMS, width=WIDTH, num_layers=1, num_heads=1, max_length=5, dropout=0.0)
    model.known_items[rows.filter(pl.col("slice") == "tool_fit")["item"].to_list()] = True
    save_sasrec(model, folder)
    vectors = np.random.default_rng(0).normal(size=(NUM_USERS, WIDTH)).astype(np.float32)
    table = {"user": np.arange(NUM_USERS, dtype=np.int32), "embedding": vectors.tolist()}
    frame = pl.DataFrame(table, schema={"user": pl.Int32, "embedding": pl.List(pl.Float32)})
    frame.write_parquet(folder / "user_embeddings.parquet")
    catalogue = catalogue_sha256(pl.Series([f"i{number}" for number in range(1, NUM_ITEMS + 1)]))
    write_search(folder, catalogue=catalogue, exact_search_max_users=1000, similar_users_recall=1.0)
    write_manifest(folder, {})
