"""A large shop for `benchmarks.tools`: Parquet and weights as the stages write them, drawn from a seed.

Items lie in clusters of embedding space and are taken by a long tail of popularity; users stay within a few clusters.
Titles have a brand, a word for the kind, some common and some rare words.
"""

from pathlib import Path

import numpy as np
import polars as pl
import torch

from recops.artifacts import write_json, write_manifest
from recops.retrieval.embeddings import catalogue_sha256, write_search
from recops.retrieval.sasrec import SasRec, save_sasrec

WIDTH, EVENTS_PER_USER, NUM_CANDIDATES, NUM_SAMPLES = 64, 10, 20, 20_000
DAY = 86_400_000
_ITEMS_PER_CLUSTER, _CLUSTERS_PER_USER = 250, 3
_NUM_CATEGORIES, _ITEMS_PER_STORE = 2_000, 25


def write_large_shop(root: Path, num_items: int, num_users: int) -> tuple[Path, Path]:
    """Write `validated_splits` and `sasrec_embeddings`; return their folders."""
    generator = np.random.default_rng(0)
    splits, sasrec = root / "splits", root / "sasrec"
    splits.mkdir(parents=True)
    sasrec.mkdir()
    cluster = generator.integers(0, max(num_items // _ITEMS_PER_CLUSTER, 1), num_items)
    item_ids = _write_items(splits / "items.parquet", cluster, generator)
    taken, times = _taken(cluster, num_users, generator)
    _write_interactions(splits, taken, times)
    _write_samples(splits / "samples.parquet", taken, times, num_items, generator)
    write_json(splits / "splits.json", {"fitted_slices": ["tool_fit"]})
    write_manifest(splits, {})
    _write_sasrec(sasrec, cluster, taken, generator)
    write_search(sasrec, catalogue=catalogue_sha256(item_ids), exact_search_max_users=100_000, similar_users_recall=1.0)
    write_manifest(sasrec, {})
    return splits, sasrec


def _write_items(path: Path, cluster: np.ndarray, generator: np.random.Generator) -> pl.Series:
    num = len(cluster)
    numbers = {
        "store": generator.integers(0, max(num // _ITEMS_PER_STORE, 1), num),
        "kind": cluster % _NUM_CATEGORIES,
        "rare": generator.integers(0, num, num),
        "common": np.minimum(generator.zipf(1.3, (4, num)), 20_000),
    }
    frame = pl.DataFrame(
        {
            "item": np.arange(1, num + 1, dtype=np.int32),
            "kind": numbers["kind"],
            "store_number": numbers["store"],
            "rare": numbers["rare"],
            **{f"word{n}": words for n, words in enumerate(numbers["common"])},
            "price": generator.lognormal(3, 1, num).astype(np.float32),
            "average_rating": generator.uniform(1, 5, num).astype(np.float32),
        }
    )
    store, kind = pl.format("brand{}", "store_number"), pl.format("kind{}", "kind")
    words = [pl.format("word{}", f"word{n}") for n in range(4)]
    frame = frame.select(
        "item",
        pl.format("i{}", "item").alias("item_id"),
        pl.concat_str([store, kind, *words, pl.format("model{}", "rare")], separator=" ").alias("title"),
        pl.format("Category {}", "kind").alias("category"),
        store.alias("store"),
        "price",
        "average_rating",
        pl.lit(None, pl.String).alias("description"),
    )
    frame.write_parquet(path)
    return frame["item_id"]


def _taken(cluster: np.ndarray, num_users: int, generator: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Items (U, L) and times (U, L): each from one of the user's clusters, its popular items first."""
    order = np.argsort(cluster, kind="stable")
    starts = np.searchsorted(cluster[order], np.arange(cluster.max() + 2))
    liked = generator.integers(0, cluster.max() + 1, (num_users, _CLUSTERS_PER_USER))
    chosen = np.take_along_axis(liked, generator.integers(0, _CLUSTERS_PER_USER, (num_users, EVENTS_PER_USER)), axis=1)
    size = np.maximum(starts[chosen + 1] - starts[chosen], 1)
    place = (size * generator.random(chosen.shape) ** 3).astype(np.int64)
    items = order[np.minimum(starts[chosen] + place, len(order) - 1)] + 1
    times = np.sort(generator.integers(15_000 * DAY, 17_000 * DAY, chosen.shape), axis=1)
    return items.astype(np.int32), times


def _write_interactions(splits: Path, taken: np.ndarray, times: np.ndarray) -> None:
    num_users = len(taken)
    slices = np.array(["tool_fit"] * (EVENTS_PER_USER - 1) + ["test"])
    rating = 1.0 + (np.arange(taken.size) * 7 % 5).astype(np.float32)
    pl.DataFrame(
        {
            "user": np.repeat(np.arange(num_users, dtype=np.int32), EVENTS_PER_USER),
            "item": taken.ravel(),
            "timestamp": times.ravel(),
            "rating": rating.astype(np.float32),
            "slice": pl.Series(np.tile(slices, num_users)).cast(pl.Enum(["tool_fit", "policy_train", "valid", "test"])),
        }
    ).write_parquet(splits / "interactions.parquet")
    users = {"user": np.arange(num_users, dtype=np.int32), "user_id": [f"u{n}" for n in range(num_users)]}
    pl.DataFrame(users).write_parquet(splits / "users.parquet")


def _write_samples(
    path: Path, taken: np.ndarray, times: np.ndarray, num_items: int, generator: np.random.Generator
) -> None:
    users = np.sort(generator.choice(len(taken), min(NUM_SAMPLES, len(taken)), replace=False))
    candidates = generator.integers(1, num_items + 1, (len(users), NUM_CANDIDATES), dtype=np.int32)
    candidates[np.arange(len(users)), generator.integers(0, NUM_CANDIDATES, len(users))] = taken[users, -1]
    pl.DataFrame(
        {
            "sample_id": np.arange(len(users), dtype=np.int32),
            "user": users.astype(np.int32),
            "target": taken[users, -1],
            "timestamp": times[users, -1],
            "slice": ["test"] * len(users),
            "history_start": users * EVENTS_PER_USER,
            "history_end": users * EVENTS_PER_USER + EVENTS_PER_USER - 1,
            "target_is_warm": np.ones(len(users), dtype=np.bool_),
            "candidates": candidates,
        }
    ).write_parquet(path)


def _write_sasrec(folder: Path, cluster: np.ndarray, taken: np.ndarray, generator: np.random.Generator) -> None:
    """Embeddings around the centre of each item's cluster; a user's state is the mean of the last items'."""
    torch.manual_seed(0)
    model = SasRec(len(cluster), width=WIDTH, num_layers=2, num_heads=2, max_length=30, dropout=0.0)
    centres = generator.normal(size=(cluster.max() + 1, WIDTH)).astype(np.float32)
    vectors = centres[cluster] + 0.7 * generator.normal(size=(len(cluster), WIDTH)).astype(np.float32)
    with torch.no_grad():
        model.item_embedding.weight[1:] = torch.from_numpy(vectors)
    model.known_items[torch.from_numpy(np.unique(taken[:, :-1]).astype(np.int64))] = True
    save_sasrec(model, folder)
    states = np.mean(
        [vectors[taken[:, place] - 1] for place in range(EVENTS_PER_USER - 4, EVENTS_PER_USER - 1)], axis=0
    )
    table = {"user": np.arange(len(taken), dtype=np.int32)}
    embedding = pl.Series("embedding", states.astype(np.float32), dtype=pl.Array(pl.Float32, WIDTH))
    frame = pl.DataFrame(table).with_columns(embedding.cast(pl.List(pl.Float32)))
    frame.write_parquet(folder / "user_embeddings.parquet")
