"""The job `trial`: a recipe with other values for some keys, started from the Launchpad and shown beside the recipe."""

import json
import tempfile
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any

from dagster import (
    AssetKey,
    AssetObservation,
    Config,
    Failure,
    MetadataValue,
    OpExecutionContext,
    PipesSubprocessClient,
    RunConfig,
    config_mapping,
    job,
    op,
)
from pydantic import Field

from assets.children import RETRIES, run_child
from assets.differences import overrides_table
from assets.partitions import RECIPES
from assets.pools import TRAINING_POOL
from recops.config.overrides import overridden
from recops.config.recipe import Recipe, load_recipe
from recops.errors import InputError
from recops.paths import Layout, project_root
from recops.stage import STAGE_NAMES

RecipeName = Enum("RecipeName", {name: name for name in RECIPES.get_partition_keys()})
ThroughStage = Enum("ThroughStage", {name: name for name in STAGE_NAMES})


class TrialConfig(Config):
    """What the Launchpad asks for."""

    recipe: RecipeName = Field(description="The recipe that is varied; it and its artefacts stay as they are.")
    overrides: dict[str, Any] = Field(
        min_length=1, description="Dotted key of the recipe -> its other value, for example grpo_model.steps: 30"
    )
    through: ThroughStage = Field(
        default=ThroughStage["evaluation_reports"], description="The last stage; only what differs upstream is made."
    )


@op(pool=TRAINING_POOL, retry_policy=RETRIES)
def run_trial(context: OpExecutionContext, config: TrialConfig, pipes: PipesSubprocessClient) -> None:
    """Check the overrides, make what they change below runs/, and observe each asset that came out different."""
    recipe, through = config.recipe.value, config.through.value
    try:
        # Checked when the run was asked for; the recipe may have changed while it waited for its turn.
        own = _varied(config)
    except InputError as error:
        raise Failure(f"trial of {recipe}: {error}", allow_retries=False) from error
    table = overrides_table(own, config.overrides)
    context.log.info(f"A trial of {recipe}, through {through}:\n{table}")
    context.instance.add_run_tags(context.run_id, {"recipe": recipe, **_told(config.overrides)})
    with tempfile.TemporaryDirectory() as folder:
        made = Path(folder) / "made.jsonl"
        extras = {"recipe": recipe, "overrides": config.overrides, "through": through, "made": str(made)}
        try:
            run_child(context, pipes, "jobs.trial_child", what=f"trial of {recipe}", extras=extras)
        finally:
            # What was made before a failure is there, and a retry reads it: it is shown all the same.
            for one in _whole_lines(made):
                _observe(context, recipe, one, table)


def _whole_lines(made: Path) -> Iterator[dict[str, Any]]:
    """What the child wrote, without a line in whose middle it was killed."""
    text = made.read_text(encoding="utf-8") if made.is_file() else ""
    return (json.loads(line) for line in text.splitlines(keepends=True) if line.endswith("\n"))


def _told(overrides: dict[str, Any]) -> dict[str, str]:
    """Tags by which the run is found in Dagster's list."""
    return {f"override/{key}": str(value) for key, value in overrides.items()}


def _observe(context: OpExecutionContext, recipe: str, made: dict[str, Any], table: str) -> None:
    """Log what the child wrote about a stage; its metadata is typed as that of Pipes."""
    metadata = {name: getattr(MetadataValue, one["type"])(one["raw_value"]) for name, one in made["metadata"].items()}
    metadata["overrides"] = MetadataValue.md(table)
    context.log_event(AssetObservation(AssetKey(made["stage"]), partition=recipe, metadata=metadata))


def _varied(config: TrialConfig) -> Recipe:
    """Return the recipe that is varied, as it is.

    Raises:
        InputError: it, a key or a value is wrong.
    """
    file = Layout(project_root(), config.recipe.value).recipe_file
    own = load_recipe(file)
    overridden(own, config.overrides, where=file)
    return own


@config_mapping
def launchpad(config: TrialConfig) -> RunConfig:
    """Three keys on one level, rather than those of an op inside of ops; what is wrong is refused before a run exists.

    Raises:
        InputError: the recipe, a key or a value is wrong.
    """
    _varied(config)
    return RunConfig(ops={"run_trial": config})


@job(
    name="trial",
    config=launchpad,
    description="A recipe with other values, beside it: observations on the assets, below runs/, unknown to DVC.",
)
def trial() -> None:
    """Run one trial."""
    run_trial()
