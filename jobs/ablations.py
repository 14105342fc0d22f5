"""The job `ablations`: the cells of a study that are not measured yet, and its page, in the background of the UI."""

from enum import Enum

from dagster import (
    Config,
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
from assets.pools import TRAINING_POOL
from recops.paths import project_root

StudyName = Enum("StudyName", {path.stem: path.stem for path in sorted((project_root() / "studies").glob("*.yaml"))})


class AblationsConfig(Config):
    """What the Launchpad asks for."""

    study: StudyName = Field(description="A file of studies/.")
    recipe: str | None = Field(default=None, description="Only the cells of this recipe of the study.")
    minutes: float | None = Field(default=None, ge=0, description="Begin no cell after so many minutes.")


@op(pool=TRAINING_POOL, retry_policy=RETRIES)
def measure_study(context: OpExecutionContext, config: AblationsConfig, pipes: PipesSubprocessClient) -> None:
    """Measure what is missing, cell by cell: a cell that has its file is not measured again, after a retry neither."""
    extras = {"study": config.study.value, "recipe": config.recipe, "minutes": config.minutes}
    done = run_child(context, pipes, "jobs.study_child", what=f"study {config.study.value}", extras=extras)
    [told] = done.get_custom_messages()
    context.add_output_metadata(
        {
            "page": MetadataValue.md(told["page"]),
            "file": MetadataValue.path(told["file"]),
            "measured_now": told["measured"],
            "left": told["left"],
        }
    )


@config_mapping
def launchpad(config: AblationsConfig) -> RunConfig:
    """Three keys on one level, rather than those of an op inside of ops."""
    return RunConfig(ops={"measure_study": config})


@job(name="ablations", config=launchpad, description="A study of studies/: what each stage adds, cell by cell.")
def ablations() -> None:
    """Measure one study."""
    measure_study()
