"""What can be reached at all, on a store whose truth is known: the oracle's ranks, and how near to them a system comes.

Shape suffixes: N samples, K candidates.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import ArrayLike, NDArray

from recops.artifacts import write_json
from recops.data.samples import SampleStore
from recops.data.shop_truth import PLANTED_CASE
from recops.evaluate.oracle import BOUNDS, Negatives, Oracle
from recops.metrics import ABSENT, ndcg_at_k
from recops.records import Sample, SliceName
from recops.seeds import sub_seed
from recops.stage_io import StageIO

BOUND_RANKINGS = "bounds.parquet"
LEARNED = "learned.json"

Ranks = NDArray[np.int64]


def write_bounds(io: StageIO, store: SampleStore, *, num_ranked: int, seed: int) -> None:
    """Write the oracle's ranks, and what share of the learnable each system of `rankings.parquet` has.

    Nothing is written where the source has no truth.

    Raises:
        InputError: `raw_data` is missing or damaged.
    """
    if not has_truth(store):
        return
    raw = io.input("raw_data")
    oracle = Oracle(raw, store)
    rankings = pl.read_parquet(io.out / "rankings.parquet").filter(pl.col("ranked") == "candidates").drop("ranked")
    frames = [_bound_frame(oracle, store, name, _negatives(io), seed) for name in rankings["slice"].unique().sort()]
    bounds = pl.concat(frames)
    bounds.write_parquet(io.out / BOUND_RANKINGS)
    slices = {}
    for (name,), part in pl.concat([bounds, rankings]).group_by("slice", maintain_order=True):
        ids = part.filter(pl.col("system") == BOUNDS[0])["sample_id"].to_numpy()
        systems = part.partition_by("system", as_dict=True, maintain_order=True)
        ranks = {str(system): rows["rank"].to_numpy() for (system,), rows in systems.items()}
        shares = learned_shares(store, ids, ranks, num_ranked)
        slices[str(name)] = {**shares, "planted_case": _planted_samples(raw, store, ids)}
    write_json(io.out / LEARNED, {"slices": slices})


def has_truth(store: SampleStore) -> bool:
    """Return whether it is known what the users are led by."""
    return "kind" in store.users.columns


def learned_shares(
    store: SampleStore, sample_ids_N: NDArray[np.int32], ranks: Mapping[str, ArrayLike], num_ranked: int
) -> dict[str, Any]:
    """Return NDCG@10 by kind of user, and how far of the way from chance to the oracle that is.

    Args:
        store: samples and planted kinds.
        sample_ids_N: the samples.
        ranks: by system, the 0-based rank of the target, (N,); `oracle` among them.
        num_ranked: lists end after so many places.

    Returns:
        `chance` (NDCG@10 of a random order), `num_samples` by group, and `systems`: by system and group (`all`, and
        each kind) `ndcg@10` and `learned`, which is 0 for chance and 1 for the oracle.
    """
    samples = [store.sample(int(sample_id)) for sample_id in sample_ids_N]
    places = np.arange(len(samples[0].candidates))
    chance = float(_ndcg(places, num_ranked).mean())
    kinds = np.asarray(store.users["kind"].to_list())[[sample.user for sample in samples]]
    groups = {
        "all": np.ones(len(kinds), dtype=np.bool_),
        **{kind: kinds == kind for kind in sorted(set(kinds.tolist()))},
    }
    means = {
        system: {group: float(_ndcg(ranks_N, num_ranked)[members].mean()) for group, members in groups.items()}
        for system, ranks_N in ranks.items()
    }
    best = means["oracle"]
    return {
        "chance": chance,
        "num_samples": {group: int(members.sum()) for group, members in groups.items()},
        "systems": {
            system: {
                group: {"ndcg@10": value, "learned": (value - chance) / (best[group] - chance)}
                for group, value in of_system.items()
            }
            for system, of_system in means.items()
        },
    }


def _planted_samples(raw: Path, store: SampleStore, sample_ids_N: NDArray[np.int32]) -> list[int]:
    """Return the samples whose target is a game after another console's accessories, without a word in common."""
    cases = set(pl.read_parquet(raw / PLANTED_CASE).select("user_id", "item_id", "timestamp").rows())
    users, items = store.users["user_id"], store.items["item_id"]
    samples = [store.sample(int(sample_id)) for sample_id in sample_ids_N]
    named = [(users[sample.user], items[sample.target - 1], sample.timestamp) for sample in samples]
    return [sample.sample_id for sample, name in zip(samples, named, strict=True) if name in cases]


def _ndcg(ranks_N: ArrayLike, num_ranked: int) -> NDArray[np.float64]:
    ranks = np.asarray(ranks_N)
    return ndcg_at_k(np.where(ranks < num_ranked, ranks, ABSENT), 10)


def _bound_frame(
    oracle: Oracle, store: SampleStore, slice_name: SliceName, negatives: Negatives, seed: int
) -> pl.DataFrame:
    sample_ids = store.sample_ids(slice_name)
    samples = [store.sample(int(sample_id)) for sample_id in sample_ids]
    scores = oracle.scores(samples, negatives)
    return pl.concat(
        [
            pl.DataFrame(
                {
                    "system": name,
                    "sample_id": sample_ids,
                    "slice": slice_name,
                    "rank": _target_ranks(samples, scores[name], sub_seed(seed, "bounds", name, slice_name)),
                }
            )
            for name in BOUNDS
        ]
    )


def _target_ranks(samples: list[Sample], scores_NK: NDArray[np.float64], seed: int) -> NDArray[np.int32]:
    """0-based rank of the target; candidates of equal chance come in random order."""
    ties_NK = np.random.default_rng(seed).random(scores_NK.shape)
    rows, places = np.arange(len(samples)), [sample.candidates.index(sample.target) for sample in samples]
    mine_N1, tie_N1 = scores_NK[rows, places][:, None], ties_NK[rows, places][:, None]
    ahead_NK = (scores_NK > mine_N1) | ((scores_NK == mine_N1) & (ties_NK < tie_N1))
    return np.asarray(ahead_NK.sum(axis=1), dtype=np.int32)


def _negatives(io: StageIO) -> Negatives:
    """How the candidates were drawn: as the manifest of `validated_splits` states."""
    settings: Any = io.opened["validated_splits"]["settings"]
    negatives: Negatives = settings["validated_splits"]["candidates"]["negatives"]
    return negatives
