"""The stage `evaluation_reports`: every system on the same frozen candidates, as files and as one page."""

import tempfile
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import polars as pl

from recops.agent.backends import load_policy
from recops.agent.local_policy import open_tokenizer
from recops.artifacts import read_json, write_json
from recops.config.agent import AgentConfig
from recops.config.evaluation_reports import EvaluationConfig
from recops.data.samples import frozen_sha256
from recops.evaluate.agent import player_of, ranking_tasks
from recops.evaluate.bounds import BOUND_RANKINGS, LEARNED, learned_shares
from recops.evaluate.constrained import constrained_answers
from recops.evaluate.curves import read_curves
from recops.evaluate.details import describe
from recops.evaluate.frozen_model import provenance, write_episodes
from recops.evaluate.further import further_results, measure_further, write_further
from recops.evaluate.injection import Effects, measure_injection, overall
from recops.evaluate.latency import Latency, measure_latency
from recops.evaluate.measured import Scene, baseline_systems, measure, played, with_frozen_model
from recops.evaluate.page import Page, render_page
from recops.evaluate.pair_accuracy import pair_accuracy
from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.sample_facts import sample_facts, shown_items, write_facts
from recops.evaluate.systems import Comparison, metrics_by_system
from recops.evaluate.tables import write_tables
from recops.evaluate.traces import page_traces
from recops.stage_io import StageIO

PAGE = "report.html"


@dataclass(frozen=True)
class EvaluationReport:
    """The numbers of one evaluation.

    `systems` and `valid` hold the mean of every metric by system (`valid` is empty when no valid sample is played);
    `differences` holds what each paired difference in NDCG@10 shows, in a sentence; `injection` what the strongest
    attack does to each policy, empty where the suite is left out or nothing of a candidate's text is shown;
    `further_candidates` the means by kind of negatives and system; `frozen_model` names the weights or the server of
    the recipe's frozen model, empty without one.
    """

    num_samples: int
    num_test_samples: int
    candidates_sha256: str
    best_system: str
    systems: dict[str, dict[str, float]]
    valid: dict[str, dict[str, float]]
    differences: list[str]
    injection: dict[str, dict[str, float]]
    further_candidates: dict[str, dict[str, dict[str, float]]]
    frozen_model: dict[str, str]


@dataclass(frozen=True)
class _Measured:
    """What an evaluation found, before it becomes numbers and words.

    Attributes:
        comparison: the test slice.
        further: the same samples by the kind of negatives.
        valid: the valid slice, None where the recipe leaves it out.
        effects: of planted texts, by policy.
        latency: of single requests, by agent; in no artefact.
    """

    comparison: Comparison
    further: Mapping[str, Comparison]
    valid: Comparison | None
    effects: Mapping[str, Effects]
    latency: Mapping[str, Latency]


def run_evaluation(io: StageIO, config: EvaluationConfig, *, seed: int, agent: AgentConfig) -> EvaluationReport:
    """Play the policies, join the baselines' ranks, write metrics, tables, plots' data and the page.

    An interrupted evaluation resumes with the policies that have not played yet.

    Raises:
        InputError: an input is missing or damaged, or the baselines lack a sample that the agents play.
    """
    scene = Scene.open(io, config, seed=seed, agent=agent)
    comparison = with_frozen_model(scene, measure(scene, "test", config.max_samples))
    further = measure_further(scene)
    effects = _injection(scene, comparison)
    latency = _latency(scene, comparison)
    valid = measure(scene, "valid", config.max_valid_samples) if config.max_valid_samples else None
    metrics = {
        "recipe": io.layout.recipe,
        "seed": seed,
        "num_samples": len(comparison.sample_ids),
        "candidates_sha256": frozen_sha256(io.input("validated_splits"), io.input("sasrec_embeddings")),
        "systems": metrics_by_system(comparison, config, agent.num_ranked, seed),
        "injection": {stage: overall(effect) for stage, effect in effects.items() if effect},
    }
    return _write(scene, _Measured(comparison, further, valid, effects, latency), metrics)


def _latency(scene: Scene, comparison: Comparison) -> dict[str, Latency]:
    """Return how long the last policy, the one that would serve, takes for single requests; empty where none is."""
    if not scene.config.num_timed_requests:
        return {}
    stage, folder = list(scene.folders.items())[-1]
    tasks = ranking_tasks(scene.evidence.store, comparison.sample_ids[: scene.config.num_timed_requests])
    print(f"{stage}: {len(tasks)} requests, one by one", flush=True)
    settings: Any = {"batch_size": 1, "constrain_answers": scene.config.constrain_answers}
    play = player_of(folder, scene.evidence, scene.agent, seed=scene.seed, **settings)
    latency = measure_latency(play, tasks)
    scene.io.tracker.log_metrics(latency.metrics(stage), step=None)
    return {stage: latency}


def _injection(scene: Scene, comparison: Comparison) -> dict[str, Effects]:
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


def _write(scene: Scene, found: _Measured, metrics: dict[str, Any]) -> EvaluationReport:
    out, store, config, seed = scene.io.out, scene.evidence.store, scene.config, scene.seed
    num_ranked, comparison = scene.agent.num_ranked, found.comparison
    facts = sample_facts(comparison, scene.evidence)
    details = describe(comparison, store, facts, scene.agent.tools, num_ranked=num_ranked, config=config, seed=seed)
    details["valid"] = _valid_metrics(scene, found.valid)
    details["learned"] = _learned(scene, comparison)
    details["constrained_answers"] = _constrained(scene, found.valid)
    details["injection"] = found.effects
    details["pair_accuracy"] = pair_accuracy(scene.folders["ppr_model"], config.confidence)
    further = further_results(found.further, config, num_ranked, seed)
    curves = read_curves({**scene.folders, **scene.llm_baselines.curves})
    write_json(out / "metrics.json", metrics)
    write_json(out / "details.json", details)
    write_tables(out, comparison, found.valid, metrics=metrics, curves=curves)
    write_further(out, found.further, further)
    write_episodes(out, comparison)
    write_facts(out, facts, shown_items(comparison, store))
    page = Page(metrics, details, further, comparison, curves, config, num_ranked, seed)
    (out / PAGE).write_text(render_page(page, store), encoding="utf-8")
    scene.io.tracker.log_traces(page_traces(scene, page))
    # All of it: the next run of the recipe takes this artefact's place, and `recops compare` reads either.
    scene.io.tracker.log_folder(out)
    if found.latency:
        _log_page_with_seconds(scene, replace(page, latency=found.latency))
    return _report(metrics, details, further, provenance(config.frozen_model))


def _log_page_with_seconds(scene: Scene, page: Page) -> None:
    """Put the page with what was timed in the place of the artefact's copy in MLflow: there it is one run's."""
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / PAGE
        file.write_text(render_page(page, scene.evidence.store), encoding="utf-8")
        scene.io.tracker.log_file(file)


def _valid_metrics(scene: Scene, valid: Comparison | None) -> dict[str, Any]:
    if valid is None:
        return {"num_samples": 0, "systems": {}}
    systems = metrics_by_system(valid, scene.config, scene.agent.num_ranked, scene.seed)
    return {"num_samples": len(valid.sample_ids), "systems": systems}


def _constrained(scene: Scene, valid: Comparison | None) -> dict[str, Any]:
    """What constraining answers changes, measured on valid; empty where no valid sample is played, or none can be."""
    if valid is None or scene.agent.engine != "transformers":
        return {}
    tasks = ranking_tasks(scene.evidence.store, valid.sample_ids)
    is_constrained = scene.config.constrain_answers
    other = {
        stage: played(scene, stage, "valid", tasks, source=folder, constrain=not is_constrained)
        for stage, folder in scene.folders.items()
    }
    asked = {agent.name: agent.episodes for agent in valid.agents}
    return constrained_answers(*((other, asked) if is_constrained else (asked, other)))


def _learned(scene: Scene, comparison: Comparison) -> dict[str, Any]:
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


def _report(
    metrics: dict[str, Any], details: dict[str, Any], further: dict[str, Any], frozen_model: dict[str, str]
) -> EvaluationReport:
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
        further_candidates={negatives: _means(results["systems"]) for negatives, results in further.items()},
        frozen_model=frozen_model,
    )


def _means(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, dict[str, float]]:
    """Return the means of a table of metrics; facts of agents are numbers already."""
    return {
        name: {key: value["mean"] if isinstance(value, dict) else value for key, value in values.items()}
        for name, values in systems.items()
    }
