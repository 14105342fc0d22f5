"""Stage `baselines`: everything that a user would pick instead of an agent, on the same frozen candidates.

Each evidence alone and two ways to merge them, on `valid` and `test`. Nothing is fitted here but the merging, on
`policy_train`. Shape suffixes: N samples, K candidates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.artifacts import write_json
from recops.config.agent import AgentConfig
from recops.config.baselines import BaselinesConfig, SystemName
from recops.errors import InputError
from recops.evaluate.bounds import write_bounds
from recops.evaluate.evidence_lists import SINGLE_LISTS, EvidenceLists, evidence_lists
from recops.evaluate.merging import Fusion, LambdaMart
from recops.evaluate.ranking import MetricTable, metric_table
from recops.metrics import ABSENT
from recops.records import SliceName
from recops.retrieval.evidence import Evidence
from recops.seeds import sub_seed
from recops.stage_io import StageIO

RANKINGS_SCHEMA = {"system": pl.String, "sample_id": pl.Int32, "slice": pl.String, "rank": pl.Int32}
REPORTED_SLICES: tuple[SliceName, ...] = ("valid", "test")

Ranks = NDArray[np.int32]


@dataclass(frozen=True)
class BaselinesReport:
    """NDCG@10 by slice and system, samples per slice, and the weights that fusion chose (empty without it)."""

    num_samples: dict[str, int]
    ndcg_at_10: dict[str, dict[str, float]]
    fusion_weights: dict[str, float]


def run_baselines(io: StageIO, config: BaselinesConfig, *, seed: int, agent: AgentConfig) -> BaselinesReport:
    """Rank the candidates of `valid` and `test` by every system; write the target's ranks and the metrics.

    Raises:
        InputError: an input is missing or damaged, or a slice has no samples.
    """
    evidence = Evidence.load(io.input("validated_splits"), io.input("sasrec_embeddings"), agent, seed)
    systems = _Systems(evidence, config, agent, seed)
    frames, metrics = [], {}
    for name in REPORTED_SLICES:
        lists = systems.lists(name)
        ranks = systems.ranks(lists)
        frames += [_frame(system, name, lists, ranks_N) for system, ranks_N in ranks.items()]
        metrics[name] = _metrics(lists, _cut(ranks, agent.num_ranked), config, seed)
    pl.concat(frames).write_parquet(io.out / "rankings.parquet")
    write_json(io.out / "metrics.json", {"seed": seed, "slices": metrics})
    write_bounds(io, evidence.store, num_ranked=agent.num_ranked, seed=seed)
    return BaselinesReport(
        num_samples={name: content["num_samples"] for name, content in metrics.items()},
        ndcg_at_10={
            name: {system: tables["all"]["ndcg@10"]["mean"] for system, tables in content["systems"].items()}
            for name, content in metrics.items()
        },
        fusion_weights=dict(systems.fusion.weights) if systems.fusion else {},
    )


class _Systems:
    """The systems of the recipe; those that merge are fitted on `policy_train` first."""

    def __init__(self, evidence: Evidence, config: BaselinesConfig, agent: AgentConfig, seed: int) -> None:
        self._evidence, self._names, self._agent, self._seed = evidence, config.systems, agent, seed
        merges = {"fusion", "lambdamart"} & set(config.systems)
        train = self.lists("policy_train") if merges else None
        self.fusion = Fusion(train) if train and "fusion" in merges else None
        self._lambdamart = LambdaMart(train, sub_seed(seed, "lambdamart")) if train and "lambdamart" in merges else None

    def lists(self, slice_name: SliceName) -> EvidenceLists:
        """Return every evidence's lists for the samples of a slice.

        Raises:
            InputError: the slice has no samples.
        """
        sample_ids = self._evidence.store.sample_ids(slice_name)
        if not len(sample_ids):
            step = "Change validated_splits.split, or bring more data."
            raise InputError(f"slice {slice_name}", found="no samples", expected="samples to rank", next_step=step)
        return evidence_lists(self._evidence, self._agent, sample_ids, ("random", *SINGLE_LISTS))

    def ranks(self, lists: EvidenceLists) -> dict[str, Ranks]:
        """Return the target's rank by each system, shape (N,) each."""
        return {name: self._target_ranks(name, lists) for name in self._names}

    def _target_ranks(self, name: SystemName, lists: EvidenceLists) -> Ranks:
        if name == "fusion" or name == "lambdamart":
            merger = self.fusion if name == "fusion" else self._lambdamart
            assert merger is not None, f"{name} was not fitted"
            ranks_NK = self._ranked(merger.scores(lists), lists, name)
        else:
            ranks_NK = lists.ranks_of(name)
        return ranks_NK[np.arange(len(ranks_NK)), lists.target_places].astype(np.int32)

    def _ranked(self, scores_NK: NDArray[np.float64], lists: EvidenceLists, name: str) -> NDArray[np.int64]:
        """Ranks by score, shape (N, K); ties in seeded order, never in the order of the list."""
        ranks_NK = np.empty(scores_NK.shape, dtype=np.int64)
        for row, (sample_id, items_K) in enumerate(zip(lists.sample_ids, lists.items, strict=True)):
            places, _ = self._evidence.order(
                scores_NK[row], self._evidence.store.sample(int(sample_id)), items_K.tolist(), name
            )
            ranks_NK[row, places] = np.arange(len(places))
        return ranks_NK


def _frame(system: str, slice_name: SliceName, lists: EvidenceLists, ranks_N: Ranks) -> pl.DataFrame:
    columns = {"system": system, "sample_id": lists.sample_ids, "slice": slice_name, "rank": ranks_N}
    return pl.DataFrame(columns, schema=RANKINGS_SCHEMA)


def _cut(ranks: Mapping[str, Ranks], num_ranked: int) -> dict[str, Ranks]:
    """Lists end where an agent's do; without this, MRR would be paid for places that an agent cannot fill."""
    return {
        system: np.where(ranks_N < num_ranked, ranks_N, ABSENT).astype(np.int32) for system, ranks_N in ranks.items()
    }


def _metrics(lists: EvidenceLists, ranks: Mapping[str, Ranks], config: BaselinesConfig, seed: int) -> dict[str, Any]:
    """The tables of one slice: all targets, and warm and cold ones apart where there are any."""
    groups = {
        "all": np.ones(len(lists.sample_ids), dtype=np.bool_),
        "warm": lists.target_is_warm,
        "cold": ~lists.target_is_warm,
    }

    def table(ranks_N: Ranks, members: NDArray[np.bool_]) -> MetricTable:
        return metric_table(
            ranks_N[members],
            lists.users[members],
            draws=config.bootstrap_draws,
            confidence=config.confidence,
            seed=sub_seed(seed, "bootstrap"),
        )

    return {
        "num_samples": len(lists.sample_ids),
        "num_cold": int(groups["cold"].sum()),
        "systems": {
            system: {group: table(ranks_N, members) for group, members in groups.items() if members.any()}
            for system, ranks_N in ranks.items()
        },
    }
