"""Every system on the chosen samples of a slice: the baselines' kept ranks, the LLM baselines, the agents' episodes.

The same samples have several frozen candidate sets (`SampleStore.candidate_kinds`); the first is the one that agents
are trained on.
"""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.config.agent import AgentConfig
from recops.config.endpoint import EndpointConfig
from recops.config.evaluation_reports import EvaluationConfig
from recops.config.validated_splits import DrawnNegatives
from recops.data.samples import SampleStore
from recops.errors import InputError
from recops.evaluate.agent import AGENT_STAGES, OWN_CANDIDATES, chosen_samples, kept_or_played, ranking_tasks
from recops.evaluate.frozen_model import source_of
from recops.evaluate.llm_baselines import LlmBaselines
from recops.evaluate.systems import Comparison, System, compare, cut
from recops.records import Episode, SliceName, Task
from recops.retrieval.evidence import Evidence
from recops.stage import StageName
from recops.stage_io import StageIO

BASELINE_RANKINGS = "rankings.parquet"


@dataclass(frozen=True)
class Scene:
    """What every slice and every kind of candidates is measured with; `baselines` holds the ranks of all kinds."""

    io: StageIO
    evidence: Evidence
    baselines: pl.DataFrame
    llm_baselines: LlmBaselines
    folders: Mapping[StageName, Path]
    config: EvaluationConfig
    agent: AgentConfig
    seed: int

    @classmethod
    def open(cls, io: StageIO, config: EvaluationConfig, *, seed: int, agent: AgentConfig) -> "Scene":
        """Open the artefacts that an evaluation reads.

        Raises:
            InputError: one is missing or damaged.
        """
        splits, sasrec = io.input("validated_splits"), io.input("sasrec_embeddings")
        return cls(
            io=io,
            evidence=Evidence.load(splits, sasrec, agent, seed),
            baselines=pl.read_parquet(io.input("baselines") / BASELINE_RANKINGS),
            llm_baselines=LlmBaselines.load(io.input("llm_baselines"), sasrec, agent),
            folders={stage: io.input(stage) for stage in AGENT_STAGES},
            config=config,
            agent=agent,
            seed=seed,
        )


def further_kind(store: SampleStore, negatives: DrawnNegatives, *, where: str) -> str:
    """Return the column of frozen candidates with these negatives.

    Raises:
        InputError: no such candidates are frozen; `where` names the setting that asks for them.
    """
    kind = f"candidates_{negatives}"
    if kind not in store.candidate_kinds:
        expected = "some of validated_splits.candidates.further_negatives"
        step = "Name it there, and run the stages from validated_splits on again."
        raise InputError(where, found=negatives, expected=expected, next_step=step)
    return kind


def measure(
    scene: Scene, slice_name: SliceName, max_samples: int, *, candidate_kind: str = OWN_CANDIDATES
) -> Comparison:
    """Return every system on the chosen samples of one slice, all on the same candidates.

    Raises:
        InputError: the baselines lack a sample.
    """
    store = scene.evidence.store
    sample_ids = chosen_samples(store, slice_name, max_samples, scene.seed)
    ranked = scene.baselines.filter(pl.col("ranked") == candidate_kind)
    baselines = baseline_systems(ranked, slice_name, sample_ids, scene.agent.num_ranked)
    rivals = scene.llm_baselines.systems(store, sample_ids, slice_name, candidate_kind=candidate_kind)
    agents = _agents(scene, slice_name, sample_ids, candidate_kind)
    return compare(store, sample_ids, [*baselines, *rivals, *agents])


def baseline_systems(
    rankings: pl.DataFrame, slice_name: SliceName, sample_ids: NDArray[np.int32], num_ranked: int
) -> list[System]:
    """Return the baselines' ranks on `sample_ids`, cut like an agent's list, in the order of the file.

    Raises:
        InputError: a baseline lacks one of the samples.
    """
    of_slice = rankings.filter(pl.col("slice") == slice_name)
    wanted = pl.DataFrame({"sample_id": sample_ids}, schema={"sample_id": pl.Int32})
    systems = []
    for name in of_slice["system"].unique(maintain_order=True):
        ranks = wanted.join(
            of_slice.filter(pl.col("system") == name), on="sample_id", how="left", maintain_order="left"
        )
        missing = ranks["rank"].null_count()
        if missing or len(ranks) != len(wanted):
            found = f"{missing} of {len(wanted)} {slice_name} samples without a rank of {name}"
            step = "Run the stage baselines again."
            raise InputError(BASELINE_RANKINGS, found=found, expected="one rank per sample", next_step=step)
        systems.append(System(str(name), cut(ranks["rank"].to_numpy(), num_ranked), ()))
    return systems


def with_frozen_model(scene: Scene, comparison: Comparison) -> Comparison:
    """Return the comparison with the recipe's frozen model as one more baseline; unchanged where it names none.

    Raises:
        InputError: its name is taken, it is no policy, or its server fails too often.
    """
    config = scene.config.frozen_model
    if config is None:
        return comparison
    taken = [system.name for system in comparison.systems]
    if config.name in taken:
        step, expected = "Rename it.", f"none of {', '.join(taken)}"
        raise InputError("evaluation_reports.frozen_model.name", found=config.name, expected=expected, next_step=step)
    tasks = ranking_tasks(scene.evidence.store, comparison.sample_ids)
    constrain = scene.config.constrain_answers and config.kind == "folder"
    episodes = played(scene, config.name, "test", tasks, source=source_of(config), constrain=constrain)
    frozen = System.of_agent(config.name, episodes, is_frozen=True)
    return replace(comparison, systems=(*comparison.baselines, frozen, *comparison.agents))


def _agents(scene: Scene, slice_name: SliceName, sample_ids: NDArray[np.int32], candidate_kind: str) -> list[System]:
    tasks = ranking_tasks(scene.evidence.store, sample_ids, candidate_kind)
    part = slice_name if candidate_kind == OWN_CANDIDATES else f"{slice_name}_{candidate_kind}"
    constrain = scene.config.constrain_answers
    return [
        System.of_agent(stage, played(scene, stage, part, tasks, source=folder, constrain=constrain))
        for stage, folder in scene.folders.items()
    ]


def played(
    scene: Scene, name: str, part: str, tasks: Sequence[Task], *, source: Path | EndpointConfig, constrain: bool
) -> list[Episode]:
    """Let a policy play, or take what an interrupted evaluation kept under its name and that of the part."""
    kept = kept_file(scene, name, part, constrain=constrain)
    print(f"{name}: {len(tasks)} {part} samples{', answers constrained' if constrain else ''}", flush=True)
    resumed, started = kept.is_file(), time.monotonic()
    settings: Any = {"seed": scene.seed, "batch_size": scene.config.batch_size, "constrain_answers": constrain}
    episodes = kept_or_played(kept, source, tasks, scene.evidence, scene.agent, **settings)
    if not resumed:
        speed = len(tasks) / (time.monotonic() - started)
        scene.io.tracker.log_metrics({f"episodes_per_second.{part}.{name}": speed}, step=None)
    return episodes


def kept_file(scene: Scene, name: str, part: str, *, constrain: bool) -> Path:
    """Return the file in which an interrupted evaluation keeps what a policy played of a part."""
    return scene.io.checkpoints / f"{part}_{name}{'_constrained' if constrain else ''}.parquet"
