"""The stage `evaluation_reports`: every system on the same frozen candidates, as files and as one page."""

import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.agent.backends import load_policy
from recops.agent.local_policy import open_tokenizer
from recops.artifacts import read_json, write_json
from recops.config.agent import AgentConfig
from recops.config.evaluation_reports import EvaluationConfig
from recops.data.samples import frozen_sha256
from recops.errors import InputError
from recops.evaluate.agent import AGENT_STAGES, chosen_samples, kept_or_played, player_of, ranking_tasks
from recops.evaluate.bounds import BOUND_RANKINGS, LEARNED, learned_shares
from recops.evaluate.constrained import constrained_answers
from recops.evaluate.curves import read_curves
from recops.evaluate.details import describe
from recops.evaluate.injection import Effects, measure_injection, overall
from recops.evaluate.latency import latency_metrics
from recops.evaluate.llm_baselines import LlmBaselines
from recops.evaluate.page import Page, render_page
from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.sample_facts import sample_facts, shown_items, write_facts
from recops.evaluate.systems import Comparison, System, compare, cut, metrics_by_system
from recops.evaluate.tables import write_tables
from recops.records import Episode, SliceName, Task
from recops.retrieval.evidence import Evidence
from recops.stage_io import StageIO

BASELINE_RANKINGS = "rankings.parquet"
PAGE = "report.html"


@dataclass(frozen=True)
class EvaluationReport:
    """The numbers of one evaluation.

    `systems` and `valid` hold the mean of every metric by system (`valid` is empty when no valid sample is played);
    `differences` holds what each paired difference in NDCG@10 shows, in a sentence; `injection` what the strongest
    attack does to each policy, empty where the suite is left out or nothing of a candidate's text is shown.
    """

    num_samples: int
    num_test_samples: int
    candidates_sha256: str
    best_system: str
    systems: dict[str, dict[str, float]]
    valid: dict[str, dict[str, float]]
    differences: list[str]
    injection: dict[str, dict[str, float]]


@dataclass(frozen=True)
class _Scene:
    """What both slices are measured with."""

    io: StageIO
    evidence: Evidence
    baselines: pl.DataFrame
    llm_baselines: LlmBaselines
    folders: Mapping[Any, Path]
    config: EvaluationConfig
    agent: AgentConfig
    seed: int


def run_evaluation(io: StageIO, config: EvaluationConfig, *, seed: int, agent: AgentConfig) -> EvaluationReport:
    """Play the policies, join the baselines' ranks, write metrics, tables, plots' data and the page.

    An interrupted evaluation resumes with the policies that have not played yet.

    Raises:
        InputError: an input is missing or damaged, or the baselines lack a sample that the agents play.
    """
    splits, sasrec = io.input("validated_splits"), io.input("sasrec_embeddings")
    scene = _Scene(
        io=io,
        evidence=Evidence.load(splits, sasrec, agent, seed),
        baselines=pl.read_parquet(io.input("baselines") / BASELINE_RANKINGS).filter(pl.col("ranked") == "candidates"),
        llm_baselines=LlmBaselines.load(io.input("llm_baselines"), sasrec, agent),
        folders={stage: io.input(stage) for stage in AGENT_STAGES},
        config=config,
        agent=agent,
        seed=seed,
    )
    comparison = _measure(scene, "test", config.max_samples)
    effects = _injection(scene, comparison)
    _time_requests(scene, comparison)
    valid = _measure(scene, "valid", config.max_valid_samples) if config.max_valid_samples else None
    metrics = {
        "recipe": io.layout.recipe,
        "seed": seed,
        "num_samples": len(comparison.sample_ids),
        "candidates_sha256": frozen_sha256(splits, sasrec),
        "systems": metrics_by_system(comparison, config, agent.num_ranked, seed),
        "injection": {stage: overall(effect) for stage, effect in effects.items() if effect},
    }
    return _write(scene, comparison, valid, metrics, effects)


def _measure(scene: _Scene, slice_name: SliceName, max_samples: int) -> Comparison:
    """Return every system on the chosen samples of one slice."""
    store = scene.evidence.store
    sample_ids = chosen_samples(store, slice_name, max_samples, scene.seed)
    baselines = baseline_systems(scene.baselines, slice_name, sample_ids, scene.agent.num_ranked)
    rivals = scene.llm_baselines.systems(store, sample_ids, slice_name)
    return compare(store, sample_ids, [*baselines, *rivals, *_agents(scene, slice_name, sample_ids)])


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


def _agents(scene: _Scene, slice_name: SliceName, sample_ids: NDArray[np.int32]) -> list[System]:
    tasks = ranking_tasks(scene.evidence.store, sample_ids)
    return [
        System.of_agent(stage, _played(scene, stage, slice_name, tasks, constrain=scene.config.constrain_answers))
        for stage in scene.folders
    ]


def _played(
    scene: _Scene, stage: str, slice_name: SliceName, tasks: Sequence[Task], *, constrain: bool
) -> list[Episode]:
    """Let the policy of a stage play, or take what an interrupted evaluation kept."""
    name = f"{slice_name}_{stage}" + ("_constrained" if constrain else "")
    kept = scene.io.checkpoints / f"{name}.parquet"
    print(f"{stage}: {len(tasks)} {slice_name} samples{', answers constrained' if constrain else ''}", flush=True)
    resumed, started = kept.is_file(), time.monotonic()
    settings: Any = {"seed": scene.seed, "batch_size": scene.config.batch_size, "constrain_answers": constrain}
    episodes = kept_or_played(kept, scene.folders[stage], tasks, scene.evidence, scene.agent, **settings)
    if not resumed:
        speed = len(tasks) / (time.monotonic() - started)
        scene.io.tracker.log_metrics({f"episodes_per_second.{slice_name}.{stage}": speed}, step=None)
    return episodes


def _time_requests(scene: _Scene, comparison: Comparison) -> None:
    """Record how long the last policy, the one that would serve, takes for single requests."""
    if not scene.config.num_timed_requests:
        return
    stage, folder = list(scene.folders.items())[-1]
    tasks = ranking_tasks(scene.evidence.store, comparison.sample_ids[: scene.config.num_timed_requests])
    print(f"{stage}: {len(tasks)} requests, one by one", flush=True)
    settings: Any = {"batch_size": 1, "constrain_answers": scene.config.constrain_answers}
    play = player_of(folder, scene.evidence, scene.agent, seed=scene.seed, **settings)
    scene.io.tracker.log_metrics(latency_metrics(play, tasks, agent=stage), step=None)


def _injection(scene: _Scene, comparison: Comparison) -> dict[str, Effects]:
    """Return what planted texts do to each policy on some of the test samples, empty where the recipe leaves it out.

    An interrupted evaluation kept what it had measured, as it keeps episodes.
    """
    effects: dict[str, Effects] = {}
    config = scene.config.injection
    if config is None:
        return effects
    tasks = ranking_tasks(scene.evidence.store, comparison.sample_ids)
    settings = {"seed": scene.seed, "batch_size": scene.config.batch_size}
    for stage, folder in scene.folders.items():
        kept = scene.io.checkpoints / f"injection_{stage}.json"
        if not kept.is_file():
            print(f"{stage}: planted texts on {config.num_episodes} test samples", flush=True)
            policy, tokenizer = load_policy(folder, scene.agent.engine), open_tokenizer(folder)
            measured = measure_injection(policy, tokenizer, tasks, scene.evidence, scene.agent, config, **settings)
            write_json(kept.with_suffix(".partial"), measured)
            kept.with_suffix(".partial").rename(kept)
        effects[stage] = read_json(kept)
    return effects


def _write(
    scene: _Scene,
    comparison: Comparison,
    valid: Comparison | None,
    metrics: dict[str, Any],
    effects: dict[str, Effects],
) -> EvaluationReport:
    out, store, config, seed = scene.io.out, scene.evidence.store, scene.config, scene.seed
    num_ranked = scene.agent.num_ranked
    facts = sample_facts(comparison, scene.evidence)
    details = describe(comparison, store, facts, scene.agent.tools, num_ranked=num_ranked, config=config, seed=seed)
    details["valid"] = _valid_metrics(scene, valid)
    details["learned"] = _learned(scene, comparison)
    details["constrained_answers"] = _constrained(scene, valid)
    details["injection"] = effects
    curves = read_curves({**scene.folders, **scene.llm_baselines.curves})
    write_json(out / "metrics.json", metrics)
    write_json(out / "details.json", details)
    write_tables(out, comparison, valid, metrics=metrics, curves=curves)
    write_facts(out, facts, shown_items(comparison, store))
    page = Page(metrics, details, comparison, curves, config, num_ranked, seed)
    (out / PAGE).write_text(render_page(page, store), encoding="utf-8")
    # All of it: the next run of the recipe takes this artefact's place, and `recops compare` reads either.
    scene.io.tracker.log_folder(out)
    return _report(metrics, details)


def _valid_metrics(scene: _Scene, valid: Comparison | None) -> dict[str, Any]:
    if valid is None:
        return {"num_samples": 0, "systems": {}}
    systems = metrics_by_system(valid, scene.config, scene.agent.num_ranked, scene.seed)
    return {"num_samples": len(valid.sample_ids), "systems": systems}


def _constrained(scene: _Scene, valid: Comparison | None) -> dict[str, Any]:
    """What constraining answers changes, measured on valid; empty where no valid sample is played, or none can be."""
    if valid is None or scene.agent.engine != "transformers":
        return {}
    tasks = ranking_tasks(scene.evidence.store, valid.sample_ids)
    is_constrained = scene.config.constrain_answers
    other = {stage: _played(scene, stage, "valid", tasks, constrain=not is_constrained) for stage in scene.folders}
    played = {agent.name: agent.episodes for agent in valid.agents}
    return constrained_answers(*((other, played) if is_constrained else (played, other)))


def _learned(scene: _Scene, comparison: Comparison) -> dict[str, Any]:
    """How far every system has gone from chance to the oracle, and the planted cases; empty without a truth."""
    folder = scene.io.input("baselines")
    if not (folder / LEARNED).is_file():
        return {}
    num_ranked = scene.agent.num_ranked
    bounds = baseline_systems(pl.read_parquet(folder / BOUND_RANKINGS), "test", comparison.sample_ids, num_ranked)
    ranks = {system.name: system.ranks for system in (*bounds, *comparison.systems)}
    planted = read_json(folder / LEARNED)["slices"]["test"]["planted_case"]
    return {
        **learned_shares(scene.evidence.store, comparison.sample_ids, ranks, num_ranked),
        "planted_case": sorted(set(planted) & set(comparison.sample_ids.tolist())),
    }


def _report(metrics: dict[str, Any], details: dict[str, Any]) -> EvaluationReport:
    systems = _means(metrics["systems"])
    return EvaluationReport(
        num_samples=metrics["num_samples"],
        num_test_samples=details["data"]["num_test_samples"],
        candidates_sha256=metrics["candidates_sha256"],
        best_system=max(systems, key=lambda name: systems[name][MAIN_METRIC]),
        systems=systems,
        valid=_means(details["valid"]["systems"]),
        differences=[difference["reading"] for difference in details["differences"]],
        injection=metrics["injection"],
    )


def _means(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the means of a table of metrics; facts of agents are numbers already."""
    return {
        name: {key: value["mean"] if isinstance(value, dict) else value for key, value in values.items()}
        for name, values in systems.items()
    }
