"""Runs one stage under the contract that every stage keeps: lock, verified inputs, resume, manifest, rename, MLflow.

The same call serves DVC, the Dagster asset, the command line and the tests.
"""

import importlib.metadata
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recops import workers
from recops.artifacts import (
    MANIFEST,
    content_sha256,
    exclusive,
    read_json,
    staged,
    verify,
    write_json,
    write_manifest,
)
from recops.config.agent import SUITES
from recops.config.recipe import Recipe
from recops.errors import InputError
from recops.metric_names import logged_names
from recops.paths import Layout
from recops.stage import STAGES, Stage, StageName
from recops.stage_io import StageIO
from recops.tracked_run import DataSet, tracked_run
from recops.versioning import CODE_ROOT, code_sha256, git_commit

REPORT = "report.json"
RECIPE = "recipe.yaml"
"""The recipe as it ran: attached to the run, for a trial's is in no file, and a person's may be in no commit."""
_RUN_ID = "mlflow_run_id"
_LIBRARIES = (
    "great_expectations",
    "lightgbm",
    "numpy",
    "peft",
    "polars",
    "pyarrow",
    "scikit-learn",
    "tokenizers",
    "torch",
    "transformers",
    "trl",
)


@dataclass(frozen=True)
class StageResult:
    """What one execution left behind."""

    artefact: Path
    report: dict[str, Any]
    run_id: str
    fingerprint: str


def run_stage(
    name: StageName,
    *,
    recipe: Recipe,
    layout: Layout,
    force: bool = False,
    tags: Mapping[str, str] | None = None,
    pipeline: str | None = None,
) -> StageResult:
    """Run a stage of `recipe` and put its artefact where `layout` has it.

    An execution that was interrupted is resumed when settings, code and inputs are unchanged; `force` starts clean.

    Args:
        name: the stage.
        recipe: its settings.
        layout: where artefacts lie.
        force: ignore the checkpoints of an interrupted execution.
        tags: who started the run, beside the tags that every run gets in MLflow.
        pipeline: identifier of the whole run that this execution is a part of, if it is.

    Raises:
        InputError: an input is missing or damaged, a setting does not fit it, or another process runs this stage.
    """
    root, stage = layout.root, STAGES[name]
    with exclusive(layout.lock(name)):
        facts, upstream = stage_facts(name, recipe, layout), lineage(stage, layout)
        fingerprint = content_sha256(facts)
        checkpoints = _checkpoints(layout.checkpoints(name), fingerprint, force=force)
        resumed = checkpoints / _RUN_ID
        with tracked_run(
            root,
            experiment=recipe.name,
            name=name,
            parameters=flatten(facts["settings"]),
            tags={**(tags or {}), **_tags(stage, recipe, root, facts, fingerprint)},
            resume=resumed.read_text(encoding="utf-8") if resumed.is_file() else None,
            data_sets=_data_sets(facts["inputs"], recipe, layout),
            pipeline=pipeline,
        ) as tracker:
            resumed.write_text(tracker.run_id, encoding="utf-8")
            tracker.log_file(_written(recipe, checkpoints / RECIPE))
            with staged(layout.artefact(name)) as out:
                io = StageIO(name, layout, out, checkpoints, tracker)
                report = workers.call(stage, io, recipe)
                write_json(out / REPORT, report)
                told = {"fingerprint": fingerprint, "opened": sorted(io.opened), "report": report}
                write_manifest(out, {**facts, **told, "lineage": upstream})
            tracker.log_metrics(logged_names(name, numbers_of(report)), step=None)
            for attached in (REPORT, MANIFEST):
                tracker.log_file(layout.artefact(name) / attached)
        shutil.rmtree(layout.checkpoints(name))
        return StageResult(layout.artefact(name), report, tracker.run_id, fingerprint)


def stage_facts(name: StageName, recipe: Recipe, layout: Layout) -> dict[str, Any]:
    """Return everything that decides an artefact's content. No time and no path: equal facts must give equal bytes.

    Raises:
        InputError: an input is missing or damaged.
    """
    stage = STAGES[name]
    return {
        "stage": name,
        "recipe": recipe.name,
        "settings": settings_of(stage, recipe),
        "code_sha256": code_sha256(CODE_ROOT, name),
        "own_tools": _own_tools(stage, recipe),
        "own_rewards": _own_rewards(stage, recipe),
        "inputs": {read: content_sha256(verify(layout.artefact(read))["files"]) for read in stage.reads},
        "libraries": {library: importlib.metadata.version(library) for library in _LIBRARIES},
    }


def lineage(stage: Stage, layout: Layout) -> dict[str, Any]:
    """Return settings, code and fingerprint of every artefact upstream, as the manifests of a stage's inputs have them.

    An artefact then says by itself how all of it was made, wherever it lies and whatever has become of its inputs.
    """
    made: dict[str, Any] = {}
    for read in stage.reads:
        manifest = read_json(layout.artefact(read) / MANIFEST)
        own = {key: manifest[key] for key in ("settings", "code_sha256", "fingerprint")}
        # An artefact that was made before manifests held a lineage tells of itself alone.
        made |= {**manifest.get("lineage", {}), read: own}
    return made


def check_unchanged(name: StageName, recipe: Recipe, layout: Layout) -> None:
    """Check that a finished artefact was made from what lies there now.

    `dvc commit` records dependencies as they are *after* a run; after a change during the run that would be a lie.

    Raises:
        InputError: the recipe, the code or an input changed while the stage ran.
    """
    artefact = layout.artefact(name)
    manifest, now = verify(artefact), stage_facts(name, recipe, layout)
    changed = [key for key, value in now.items() if manifest[key] != value]
    if changed:
        again = f"recops run --recipe {recipe.name} --from {name}"
        step = f"The artefact stays, but DVC does not record it. Run again: {again}"
        found = f"{', '.join(changed)} changed while the stage ran"
        raise InputError(artefact, found=found, expected="the same at the end as at the start", next_step=step)


def _own_tools(stage: Stage, recipe: Recipe) -> dict[str, str]:
    """The code behind tools of other packages, which `code_sha256` does not see."""
    named = [name for name in recipe.agent.tools if name not in SUITES["all"]]
    if not named or "agent" not in stage.shared:
        return {}
    from recops.tools.own import source_sha256

    return source_sha256(named, ours=SUITES["all"])


def _own_rewards(stage: Stage, recipe: Recipe) -> dict[str, str]:
    """The code behind terms of the reward from other packages."""
    if not recipe.agent.reward.own or "agent" not in stage.shared:
        return {}
    from recops.agent.own_rewards import source_sha256

    return source_sha256(list(recipe.agent.reward.own))


def settings_of(stage: Stage, recipe: Recipe) -> dict[str, Any]:
    """Return the sections of a recipe that a stage reads, as plain values."""
    sections = recipe.model_dump(mode="json")
    return {key: sections[key] for key in (*stage.shared, stage.name)}


def flatten(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Return nested mappings as one, keys joined by dots."""
    flat: dict[str, Any] = {}
    for key, value in values.items():
        name = f"{prefix}{key}"
        flat.update(flatten(value, f"{name}.") if isinstance(value, Mapping) else {name: value})
    return flat


def _checkpoints(folder: Path, fingerprint: str, *, force: bool) -> Path:
    """Return the folder of this fingerprint's checkpoints; those of others are of no use and go."""
    mine = folder / fingerprint[:16]
    for other in folder.glob("*"):
        if force or other != mine:
            shutil.rmtree(other)
    mine.mkdir(parents=True, exist_ok=True)
    return mine


def _tags(stage: Stage, recipe: Recipe, root: Path, facts: dict[str, Any], fingerprint: str) -> dict[str, str]:
    inputs = {f"input.{name}": digest for name, digest in facts["inputs"].items()}
    commit = git_commit(root)
    return {"recipe": recipe.name, "stage": stage.name, "git_commit": commit, "fingerprint": fingerprint, **inputs}


def _data_sets(inputs: Mapping[StageName, str], recipe: Recipe, layout: Layout) -> list[DataSet]:
    """The inputs that are data; those that are models are among the tags."""
    return [
        DataSet(f"{recipe.name}/{read}", digest, layout.artefact(read))
        for read, digest in inputs.items()
        if STAGES[read].root == "data"
    ]


def _written(recipe: Recipe, file: Path) -> Path:
    text = yaml.safe_dump(recipe.model_dump(mode="json"), sort_keys=False, allow_unicode=True)
    file.write_text(text, encoding="utf-8")
    return file


def numbers_of(report: Mapping[str, Any]) -> dict[str, float]:
    """Return every number of a report by its name, nested ones joined by dots."""
    return {key: float(value) for key, value in flatten(report).items() if isinstance(value, (int, float))}
