"""Stage `baselines`: everything that a user would pick instead of an agent.

Every system ranks every kind of frozen candidates of `valid` and `test`; those that score items one by one rank the
whole catalogue too. Merges are fitted on `policy_train`, item-kNN and ALS on `tool_fit`. Shape suffixes: N samples,
K candidates.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl

from recops.artifacts import file_sha256, write_json
from recops.config.agent import AgentConfig
from recops.config.baselines import BaselinesConfig, MergeName
from recops.errors import InputError
from recops.evaluate.baseline_tables import CATALOGUE, Measured, rank_frame, slice_table
from recops.evaluate.bounds import write_bounds
from recops.evaluate.candidate_lists import (
    CandidateLists,
    Ranks,
    SliceScores,
    candidate_items,
    candidate_lists,
    score_slice,
    seeded_ties,
)
from recops.evaluate.merging import Fusion, LambdaMart
from recops.evaluate.scorers import Scorer, scorers, sentence_model_folder
from recops.evaluate.tool_answers import ORDERS, ordering_toolbox, tool_answers
from recops.records import SliceName
from recops.retrieval.evidence import Evidence
from recops.retrieval.sentences import WEIGHTS
from recops.retrieval.ties import ranks_by_score
from recops.seeds import sub_seed
from recops.stage_io import StageIO

REPORTED_SLICES: tuple[SliceName, ...] = ("valid", "test")

_Merge = Fusion | LambdaMart


@dataclass(frozen=True)
class BaselinesReport:
    """What the stage found.

    `ndcg_at_10` is by what was ranked (a kind of candidates, or `catalogue`), slice and system; `fusion_weights` is by
    kind of candidates, empty without the system; `sentence_model_sha256` names weights that lie outside the repository.
    """

    num_samples: dict[str, int]
    ndcg_at_10: dict[str, dict[str, dict[str, float]]]
    fusion_weights: dict[str, dict[str, float]]
    sentence_model_sha256: str | None


def run_baselines(io: StageIO, config: BaselinesConfig, *, seed: int, agent: AgentConfig) -> BaselinesReport:
    """Rank by every system; write the target's ranks and the metrics.

    Raises:
        InputError: an input is missing or damaged, a slice has no samples, or the sentence model cannot be read.
    """
    splits = io.input("validated_splits")
    evidence = Evidence.load(splits, io.input("sasrec_embeddings"), agent, seed)
    bench = _Bench(evidence, splits, config, agent=agent, seed=seed)
    measured = {name: bench.measure(name) for name in REPORTED_SLICES}
    pl.concat([rank_frame(name, one) for name, found in measured.items() for one in found]).write_parquet(
        io.out / "rankings.parquet"
    )
    metrics = {
        name: slice_table(found, config, num_ranked=agent.num_ranked, seed=seed) for name, found in measured.items()
    }
    write_json(io.out / "metrics.json", {"seed": seed, "slices": metrics})
    folder = sentence_model_folder(config)
    write_bounds(io, evidence.store, num_ranked=agent.num_ranked, seed=seed)
    return BaselinesReport(
        num_samples={name: table["num_samples"] for name, table in metrics.items()},
        ndcg_at_10=_ndcg_at_10(metrics),
        fusion_weights={
            kind: one.weights
            for kind, merges in bench.merges.items()
            for one in merges.values()
            if isinstance(one, Fusion)
        },
        sentence_model_sha256=file_sha256(folder / WEIGHTS) if folder else None,
    )


class _Bench:
    """The systems of the recipe; those that are fitted are fitted first."""

    def __init__(
        self, evidence: Evidence, splits: Path, config: BaselinesConfig, *, agent: AgentConfig, seed: int
    ) -> None:
        self._evidence, self._config, self._agent, self._seed = evidence, config, agent, seed
        self._toolbox = ordering_toolbox(evidence, agent)
        # The scores behind the tools' orders are needed for one merge, whether these orders are systems or not.
        behind = ORDERS if "lambdamart_scores" in config.merges else ()
        names = tuple(dict.fromkeys((*config.singles, *behind)))
        self._scorers = scorers(names, evidence, splits, config, agent=agent, seed=seed)
        train = self._lists("policy_train", {name: self._scorers[name] for name in behind})[0] if config.merges else {}
        self.merges = {
            kind: {name: self._fitted(name, lists) for name in config.merges} for kind, lists in train.items()
        }

    def measure(self, slice_name: SliceName) -> list[Measured]:
        """Return the target's rank by each system: for each kind of candidates, then in the whole catalogue."""
        by_kind, scores = self._lists(slice_name, self._scorers)
        found = [Measured.of(kind, lists, self._target_ranks(kind, lists)) for kind, lists in by_kind.items()]
        singles = {name: scores.catalogue_ranks[name] for name in self._config.singles}
        return [*found, Measured.of(CATALOGUE, next(iter(by_kind.values())), singles)]

    def _lists(
        self, slice_name: SliceName, scored: Mapping[str, Scorer]
    ) -> tuple[dict[str, CandidateLists], SliceScores]:
        """Return the lists of a slice by kind of candidates, and what the scorers say about its samples."""
        store = self._evidence.store
        sample_ids = store.sample_ids(slice_name).tolist()
        if not sample_ids:
            step = "Change validated_splits.split, or bring more data."
            raise InputError(f"slice {slice_name}", found="no samples", expected="samples to rank", next_step=step)
        self._evidence.prepare(sample_ids)
        samples = {kind: [store.sample(i, kind) for i in sample_ids] for kind in store.candidate_kinds}
        item_sets = {kind: candidate_items(of_kind) for kind, of_kind in samples.items()}
        scores = score_slice(self._evidence, scored, samples[store.candidate_kinds[0]], item_sets)
        lists = {
            kind: candidate_lists(
                self._evidence, of_kind, scores.candidates[kind], tool_answers(self._toolbox, of_kind, self._agent)
            )
            for kind, of_kind in samples.items()
        }
        return lists, scores

    def _fitted(self, name: MergeName, train: CandidateLists) -> _Merge:
        if name == "fusion":
            return Fusion(train)
        seed, with_scores = sub_seed(self._seed, "lambdamart"), name == "lambdamart_scores"
        return LambdaMart(train, self._config.lambdamart, with_scores=with_scores, seed=seed)

    def _target_ranks(self, kind: str, lists: CandidateLists) -> dict[str, Ranks]:
        ranks = {name: lists.ranks[name] for name in self._config.singles}
        for name in self._config.merges:
            ties_NK = seeded_ties(self._evidence, lists.sample_ids, lists.items, name)
            ranks[name] = ranks_by_score(self.merges[kind][name].scores(lists), ties_NK)
        return {name: lists.target_ranks(ranks_NK) for name, ranks_NK in ranks.items()}


def _ndcg_at_10(metrics: Mapping[SliceName, Any]) -> dict[str, dict[str, dict[str, float]]]:
    found: dict[str, dict[str, dict[str, float]]] = {}
    for slice_name, table in metrics.items():
        for ranked, of_ranked in table["ranked"].items():
            means = {name: groups["all"]["ndcg@10"]["mean"] for name, groups in of_ranked["systems"].items()}
            found.setdefault(ranked, {})[slice_name] = means
    return found
