"""Trials: a recipe with other values for some keys, run beside it without touching its artefacts.

Every stage of a trial has a fingerprint of its settings, code and inputs. Where the recipe's own artefact has it, the
trial reads that; where an earlier trial made it, that; else the stage runs and writes below `runs/`. Trials are never
recorded in DVC: `dvc.lock` would name the recipe's value beside a model trained with another.
"""

import uuid
from collections.abc import Collection, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

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


Skippable = Literal["sft_checkpoint", "grpo_model"]
"""Stages that a trial may leave out: who reads their policy then reads that of the stage before."""

_BEFORE: dict[StageName, StageName] = {"sft_checkpoint": "base_policy", "grpo_model": "sft_checkpoint"}
_ONCE_MORE: tuple[StageName, ...] = ("grpo_model", "preference_pairs", "ppr_model")
"""A further round of PPR; what it reads as the GRPO policy is the model of the round before."""


@dataclass(frozen=True)
class Late:
    """Values that hold from a stage on; all stages before it, in the order of `STAGE_NAMES`, are the recipe's.

    A policy is then made as ever and goes on under other conditions: with fewer tools, for another reward.
    """

    since: StageName
    overrides: Mapping[str, Any]

    def holds_for(self, name: StageName) -> bool:
        """Whether a stage is run with these values."""
        return STAGE_NAMES.index(name) >= STAGE_NAMES.index(self.since)


def run_trial(
    root: Path,
    recipe_name: str,
    overrides: Mapping[str, Any],
    *,
    through: StageName,
    tags: Mapping[str, str],
    late: Late | None = None,
    skipped: Collection[Skippable] = (),
    pipeline: str | None = None,
    rounds: int = 1,
) -> Iterator[TrialStage]:
    """Make an artefact and everything that it is made from, with other values for some keys; yield stage by stage.

    Args:
        root: the project's root.
        recipe_name: the recipe that is varied.
        overrides: dotted key -> value.
        through: the last stage.
        tags: what its runs are found by in MLflow, beside the tags that every run gets.
        late: more values, for some of the stages.
        skipped: stages that do not run and are not yielded.
        pipeline: identifier of the trial as a whole, by which a retry finds it; None for a new one.
        rounds: of PPR, where that is the last stage: each mines with the model of the round before and goes on from it.

    Raises:
        InputError: a key or a value is wrong, or as `run_stage`.
    """
    assert through not in skipped, f"{through} is the last stage and is skipped"
    assert rounds == 1 or through == "ppr_model", f"{rounds} rounds of PPR, but {through} is the last stage"
    late = late or Late(STAGE_NAMES[0], {})
    everything = {**overrides, **late.overrides}
    before, after = (trial_recipe(root, recipe_name, values) for values in (overrides, everything))
    places: dict[StageName, Path] = {}
    pipeline = pipeline or uuid.uuid4().hex
    for name in [*stages_through(through, skipped), *_ONCE_MORE * (rounds - 1)]:
        source = _source(name, skipped, places)
        if source is not None:
            places[name] = source
            continue
        recipe, values = (after, everything) if late.holds_for(name) else (before, overrides)
        told = {f"override.{key}": str(value) for key, value in values.items()}
        upstream = TrialLayout(root, recipe_name, dict(places))
        made = _made(name, recipe, upstream, tags={"trial": "true", **told, **tags}, pipeline=pipeline)
        places[name] = made.artefact
        yield made


def _source(name: StageName, skipped: Collection[Skippable], places: Mapping[StageName, Path]) -> Path | None:
    """Return the policy that stands for one that is not made: that before a skipped stage, or of the round before."""
    if name == "grpo_model" and "ppr_model" in places:
        return places["ppr_model"]
    return places[_BEFORE[name]] if name in skipped else None


def _made(
    name: StageName, recipe: Recipe, upstream: TrialLayout, *, tags: Mapping[str, str], pipeline: str
) -> TrialStage:
    """Return a stage whose inputs lie where `upstream` has them: found, or run now."""
    fingerprint = content_sha256(stage_facts(name, recipe, upstream))
    own = upstream.own(name, fingerprint)
    found = _found(Layout(upstream.root, recipe.name).artefact(name), own, fingerprint)
    if found is None:
        layout = TrialLayout(upstream.root, recipe.name, {**upstream.places, name: own})
        run_stage(name, recipe=recipe, layout=layout, tags=tags, pipeline=pipeline)
    origin = "run" if found is None else "earlier" if found == own else "recipe"
    return TrialStage(name, found or own, fingerprint, origin)


def trial_recipe(root: Path, recipe_name: str, overrides: Mapping[str, Any]) -> Recipe:
    """Return a recipe with other values for some keys (dotted key -> value).

    Raises:
        InputError: the recipe, a key or a value is wrong.
    """
    file = Layout(root, recipe_name).recipe_file
    return overridden(load_recipe(file), overrides, where=file)


def stages_through(last: StageName, skipped: Collection[StageName] = ()) -> list[StageName]:
    """Return a stage and everything upstream of it, upstream first; a skipped one is there, what only it reads not."""
    needed = {last}
    for name in reversed(STAGE_NAMES):
        if name in needed:
            needed.update({_BEFORE[name]} if name in skipped else STAGES[name].reads)
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
