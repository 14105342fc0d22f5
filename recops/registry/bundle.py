"""What a registered model consists of: the policy, the tables and embeddings behind its tools, and what it scored.

A bundle has the layout of a project (`Layout`): the same code opens it as opens a checkout, and verifies every file
against the same manifests. It holds copies, so that a model works wherever it is loaded, and for as long as it exists.
"""

import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml
from pydantic import ValidationError

from recops.artifacts import content_sha256, read_json, verify
from recops.config.agent import AgentConfig
from recops.config.recipe import Recipe, parse_recipe
from recops.errors import InputError
from recops.paths import Layout
from recops.runner import settings_of
from recops.stage import STAGES, StageName

POLICY: StageName = "ppr_model"
"""The stage whose policy is registered: the last one of the training."""

EVALUATION: StageName = "evaluation_reports"
TOLD = ("metrics.json", "rankings.parquet")
"""Files of the evaluation that a promotion reads."""

_SERVED: tuple[StageName, ...] = ("validated_splits", "sasrec_embeddings", POLICY)


@dataclass(frozen=True)
class Bundle:
    """An opened bundle.

    Whoever compares models reads single keys of the recipe: one that was registered before a section had a new key is
    no whole recipe to this code any more. A server has the code of its model, and reads the recipe whole.
    """

    layout: Layout
    content: dict[str, Any]

    @property
    def recipe(self) -> Recipe:
        """The recipe of the model.

        Raises:
            InputError: it is none of this version of the code.
        """
        return parse_recipe(self.content, where=self.layout.recipe_file)

    @property
    def agent(self) -> AgentConfig:
        """How the model plays.

        Raises:
            InputError: this version of the code has other settings of an agent.
        """
        try:
            return AgentConfig.model_validate(self.content["agent"])
        except ValidationError as error:
            step = "Register the model again with this version of the code, or give its alias to another version."
            expected = "an agent as this version of the code knows it"
            raise InputError(self.layout.recipe_file, found=str(error), expected=expected, next_step=step) from error

    @property
    def constrains_answers(self) -> bool:
        """Whether an answer that has begun can only become a valid list."""
        return bool(self.content["evaluation_reports"]["constrain_answers"])

    @property
    def measures_injection(self) -> bool:
        """Whether its evaluation measured planted texts."""
        return self.content["evaluation_reports"]["injection"] is not None

    @property
    def told(self) -> Path:
        """Folder of what the model's own evaluation told."""
        return self.layout.artefact(EVALUATION)

    @property
    def metrics(self) -> dict[str, Any]:
        """The metrics of the model's own evaluation."""
        return dict(read_json(self.told / "metrics.json"))


def write_bundle(layout: Layout, recipe: Recipe, folder: Path) -> str:
    """Copy what a model consists of into a new folder; return the hash that tells one model from another.

    Raises:
        InputError: an artefact is missing or damaged, was made with other settings than the recipe has now, or the
            evaluation is not that of these artefacts.
    """
    manifests = {stage: _checked(layout, recipe, stage) for stage in (*_SERVED, EVALUATION)}
    _check_evaluated(layout, manifests)
    copy = Layout(folder, layout.recipe)
    for stage in _SERVED:
        shutil.copytree(layout.artefact(stage), copy.artefact(stage))
    copy.artefact(EVALUATION).mkdir(parents=True)
    for name in TOLD:
        shutil.copy2(layout.artefact(EVALUATION) / name, copy.artefact(EVALUATION) / name)
    copy.recipe_file.parent.mkdir()
    shutil.copy2(layout.recipe_file, copy.recipe_file)
    return _sha256(manifests)


def open_bundle(folder: Path) -> Bundle:
    """Open the bundle in a folder; its artefacts are verified where they are read.

    Raises:
        InputError: the folder holds none.
    """
    recipes = sorted((folder / "recipes").glob("*.yaml"))
    if len(recipes) != 1:
        step = "Register the model again: recops register RECIPE"
        raise InputError(folder, found=f"{len(recipes)} recipes", expected="a model's files", next_step=step)
    return Bundle(Layout(folder, recipes[0].stem), yaml.safe_load(recipes[0].read_text(encoding="utf-8")))


def _sha256(manifests: Mapping[StageName, dict[str, Any]]) -> str:
    """Return the hash of everything that a model consists of; what the recipe says beside it does not count."""
    served = {stage: manifests[stage]["files"] for stage in _SERVED}
    told = {name: manifests[EVALUATION]["files"][name] for name in TOLD}
    settings = {stage: manifest["settings"] for stage, manifest in manifests.items()}
    return content_sha256({"served": served, "told": told, "settings": settings})


def _checked(layout: Layout, recipe: Recipe, stage: StageName) -> dict[str, Any]:
    """Return the manifest of an artefact that was made with the recipe as it is now."""
    manifest, now = verify(layout.artefact(stage)), settings_of(STAGES[stage], recipe)
    if manifest["settings"] != now:
        changed = ", ".join(name for name, value in now.items() if manifest["settings"].get(name) != value)
        step = f"Run: recops run --recipe {recipe.name} --from {stage}"
        found = f"made with another {changed} than the recipe has now"
        raise InputError(layout.artefact(stage), found=found, expected="the recipe's settings", next_step=step)
    return manifest


def _check_evaluated(layout: Layout, manifests: dict[StageName, dict[str, Any]]) -> None:
    """Check that the evaluation read these very artefacts."""
    for stage in _SERVED:
        if manifests[EVALUATION]["inputs"][stage] != content_sha256(manifests[stage]["files"]):
            step = f"Run: recops run --recipe {layout.recipe} --from {EVALUATION}"
            found = f"an evaluation of another {stage}"
            raise InputError(layout.artefact(EVALUATION), found=found, expected="one of this model", next_step=step)
