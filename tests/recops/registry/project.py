"""A small project with everything that a registered model is made from, and a policy that has learned to call tools."""

import shutil
from pathlib import Path
from typing import Any

import polars as pl
import yaml

from recops.artifacts import MANIFEST, content_sha256, read_json, write_json, write_manifest
from recops.config.policy import LoraConfig
from recops.config.recipe import Recipe, load_recipe
from recops.data.samples import frozen_sha256
from recops.evaluate.agent import chosen_samples, player_of, ranking_tasks
from recops.evaluate.systems import System, compare
from recops.evaluate.tables import rank_frame
from recops.paths import Layout
from recops.registry.bundle import EVALUATION, POLICY
from recops.retrieval.evidence import Evidence
from recops.runner import settings_of
from recops.stage import STAGES, StageName
from recops.tools.toolbox import Toolbox
from recops.train.models import make_trainable, save_policy
from tests.pipeline.project import tiny_recipe
from tests.recops.agent.world import AGENT, tiny_policy
from tests.recops.evaluate.small_pipeline import NUM_CANDIDATES, write_pipeline

NAME = "small"
DAY = 86_400_000
ADAPTERS = LoraConfig(rank=2, alpha=4, dropout=0.0, target_modules="all-linear")
SLICES = {"tool_fit": (1, 22), "policy_train": (31, 32), "valid": (41, 42), "test": (51, 52)}
"""First and last day of each slice of `write_splits`."""

MADE: tuple[StageName, ...] = ("validated_splits", "sasrec_embeddings", POLICY, EVALUATION)


def recipe_content() -> dict[str, Any]:
    content = {**tiny_recipe(), "name": NAME, "agent": AGENT.model_dump(mode="json")}
    candidates = {"num_candidates": NUM_CANDIDATES, "negatives": "uniform", "further_negatives": []}
    content["validated_splits"] = {**content["validated_splits"], "candidates": candidates}
    promotion = {"max_invalid_fraction": 1.0, "max_latency_p95_seconds": 600.0, "num_latency_requests": 2}
    content["promotion"] = {**content["promotion"], **promotion}
    # Constrained, for a policy that was trained for a second hardly ever ends a list by itself.
    played = {"max_samples": 100, "constrain_answers": True, "further_candidates": []}
    content["evaluation_reports"] = {**content["evaluation_reports"], **played}
    return content


def write_project(root: Path) -> Layout:
    layout = write_pipeline(root, {"random": 5})
    write_recipe(layout, recipe_content())
    splits = layout.artefact("validated_splits")
    slices = {
        name: {"first_timestamp": first * DAY, "last_timestamp": last * DAY} for name, (first, last) in SLICES.items()
    }
    write_json(splits / "splits.json", {"candidates_sha256": "c0ffee", "fitted_slices": ["tool_fit"], "slices": slices})
    folders = splits, layout.artefact("sasrec_embeddings")
    policy = tiny_policy(Toolbox.load(*folders, AGENT, seed=3), steps=60)
    adapted = make_trainable(policy.model, ADAPTERS, seed=3)  # that change nothing yet
    save_policy(adapted, policy.tokenizer, layout.artefact(POLICY), max_new_tokens=AGENT.max_completion_tokens)
    evaluate(layout)
    return layout


def write_recipe(layout: Layout, content: dict[str, Any]) -> Recipe:
    layout.recipe_file.parent.mkdir(parents=True, exist_ok=True)
    layout.recipe_file.write_text(yaml.safe_dump(content), encoding="utf-8")
    return load_recipe(layout.recipe_file)


def change_recipe(layout: Layout, section: str, **values: Any) -> Recipe:
    content = yaml.safe_load(layout.recipe_file.read_text(encoding="utf-8"))
    content[section] = {**content[section], **values}
    return write_recipe(layout, content)


def evaluate(layout: Layout, *, gained: float = 0.0) -> None:
    """Play the policy on the test samples, and write what the stage says of it, with manifests that fit together."""
    recipe = load_recipe(layout.recipe_file)
    for stage in MADE[:3]:
        sign(layout, recipe, stage)
    splits, sasrec = (layout.artefact(stage) for stage in MADE[:2])
    evidence = Evidence.load(splits, sasrec, recipe.agent, recipe.seed)
    ids = chosen_samples(evidence.store, "test", recipe.evaluation_reports.max_samples, recipe.seed)
    play = player_of(
        layout.artefact(POLICY),
        evidence,
        recipe.agent,
        seed=recipe.seed,
        batch_size=64,
        constrain_answers=recipe.evaluation_reports.constrain_answers,
    )
    system = System.of_agent(POLICY, play(ranking_tasks(evidence.store, ids)))
    folder = layout.artefact(EVALUATION)
    shutil.rmtree(folder, ignore_errors=True)
    folder.mkdir(parents=True)
    rank_frame("test", compare(evidence.store, ids, [system]), system).write_parquet(folder / "rankings.parquet")
    metrics = {
        "candidates_sha256": frozen_sha256(splits, sasrec),
        "systems": {POLICY: {"ndcg@10": {"mean": 0.5}}},
        "injection": {POLICY: {"gained": gained}},
    }
    write_json(folder / "metrics.json", metrics)
    sign(layout, recipe, EVALUATION)


def sign(layout: Layout, recipe: Recipe, stage: StageName) -> None:
    """Write the manifest of an artefact, as the runner would have."""
    read = [name for name in STAGES[stage].reads if name in MADE]
    inputs = {name: content_sha256(read_json(layout.artefact(name) / MANIFEST)["files"]) for name in read}
    facts = {"settings": settings_of(STAGES[stage], recipe), "inputs": inputs, "fingerprint": f"fingerprint of {stage}"}
    (layout.artefact(stage) / MANIFEST).unlink(missing_ok=True)
    write_manifest(layout.artefact(stage), facts)


def flatter(layout: Layout) -> None:
    """Let the policy's evaluation say that it put every target first: a second of training makes no such policy."""
    file = layout.artefact(EVALUATION) / "rankings.parquet"
    rows = pl.read_parquet(file)
    rows.with_columns(pl.lit(0, rows.schema["rank"]).alias("rank")).write_parquet(file)
    sign(layout, load_recipe(layout.recipe_file), EVALUATION)


def another_policy(layout: Layout) -> None:
    """Change the policy's files, not its answers, and evaluate it: another model that is exactly as good."""
    note = layout.artefact(POLICY) / "note.txt"
    note.write_text(f"{note.is_file()} {note.stat().st_size if note.is_file() else 0}", encoding="utf-8")
    evaluate(layout)
