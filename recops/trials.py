"""Trials: a recipe with other values for some keys, run beside it without touching its artefacts.

Every stage of a trial has a fingerprint of its settings, code and inputs. Where the recipe's own artefact has it, the
trial reads that; where an earlier trial made it, that; else the stage runs and writes below `runs/`. Trials are never
recorded in DVC: `dvc.lock` would name the recipe's value beside a model trained with another.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recops.artifacts import MANIFEST, content_sha256, read_json, verify
from recops.config.overrides import overridden
from recops.config.recipe import Recipe, load_recipe
from recops.errors import InputError
from recops.paths import Layout, TrialLayout
from recops.runner import run_stage, stage_facts
from recops.stage import STAGE_NAMES, STAGES, StageName


@dataclass(frozen=True)
class TrialStage:
    """One stage of a trial.

    Attributes:
        artefact: where it lies.
        fingerprint: of settings, code and inputs.
        origin: `recipe` where it is the recipe's own artefact, `earlier` where a trial had made it, `run` where it was
            made now.
    """

    name: StageName
    artefact: Path
    fingerprint: str
    origin: str


def run_trial(
    root: Path, recipe_name: str, overrides: Mapping[str, Any], *, through: StageName, tags: Mapping[str, str]
) -> Iterator[TrialStage]:
    """Make an artefact and everything that it is made from, with other values for some keys; yield stage by stage.

    Args:
        root: the project's root.
        recipe_name: the recipe that is varied.
        overrides: dotted key -> value.
        through: the last stage.
        tags: what its runs are found by in MLflow, beside the tags that every run gets.

    Raises:
        InputError: a key or a value is wrong, or as `run_stage`.
    """
    recipe = trial_recipe(root, recipe_name, overrides)
    told = {f"override.{key}": str(value) for key, value in overrides.items()}
    places: dict[StageName, Path] = {}
    for name in stages_through(through):
        layout = TrialLayout(root, recipe_name, dict(places))
        fingerprint = content_sha256(stage_facts(name, recipe, layout))
        own = layout.own(name, fingerprint)
        found = _found(Layout(root, recipe_name).artefact(name), own, fingerprint)
        places[name] = found or own
        if found is None:
            layout = TrialLayout(root, recipe_name, dict(places))
            run_stage(name, recipe=recipe, layout=layout, tags={"trial": "true", **told, **tags})
        origin = "run" if found is None else "earlier" if found == own else "recipe"
        yield TrialStage(name, places[name], fingerprint, origin)


def trial_recipe(root: Path, recipe_name: str, overrides: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values for some keys (dotted key -> value).

    Raises:
        InputError: the recipe, a key or a value is wrong.
    """
    file = Layout(root, recipe_name).recipe_file
    return overridden(load_recipe(file), overrides, where=file)


def stages_through(last: StageName) -> list[StageName]:
    """Return a stage and everything upstream of it, upstream first."""
    needed = {last}
    for name in reversed(STAGE_NAMES):
        if name in needed:
            needed.update(STAGES[name].reads)
    return [name for name in STAGE_NAMES if name in needed]


def _found(of_recipe: Path, own: Path, fingerprint: str) -> Path | None:
    """Return the first whole artefact with a fingerprint, or None."""
    for folder in (of_recipe, own):
        if (folder / MANIFEST).is_file() and _has(folder, fingerprint):
            return folder
    return None


def _has(folder: Path, fingerprint: str) -> bool:
    """Whether an artefact has a fingerprint and is whole; one that is damaged is made anew, not read."""
    try:
        return bool(read_json(folder / MANIFEST)["fingerprint"] == fingerprint and verify(folder))
    except (InputError, ValueError, KeyError):
        return False
