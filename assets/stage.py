"""The only mechanism between Dagster and the library: an asset that runs a stage of `recops` in a child process.

A child, for its memory is freed when it ends, its signals are its own, and the code location stays free of torch.
What the child reports through Dagster Pipes (metadata, data version) becomes the materialization.
"""

import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from dagster import (
    AssetExecutionContext,
    AssetsDefinition,
    Failure,
    MaterializeResult,
    PipesSubprocessClient,
    asset,
)
from dagster._core.errors import DagsterPipesExecutionError

from assets.partitions import RECIPES
from recops.paths import project_root
from recops.stage import STAGES, StageName
from recops.versioning import CODE_ROOT, code_sha256

TRAINING_POOL = "training"
"""Dagster runs one asset of this pool at a time (dagster.yaml): each of them wants the whole machine."""


def stage_asset(
    name: StageName, *, group: str, kinds: set[str], reads: Sequence[AssetsDefinition] = (), pool: str | None = None
) -> AssetsDefinition:
    """Return the asset of a stage.

    Args:
        name: the stage, which names the asset.
        group: part of the graph in Dagster's catalog.
        kinds: what it is made with, at most three.
        reads: the assets whose artefacts the stage opens; by object, for Dagster accepts any string.
        pool: limits how many assets run side by side.
    """

    @asset(
        name=name,
        deps=reads,
        partitions_def=RECIPES,
        group_name=group,
        kinds=kinds,
        owners=["team:recommendation"],
        description=STAGES[name].description,
        code_version=code_sha256(CODE_ROOT, name)[:16],
        pool=pool,
    )
    def run(context: AssetExecutionContext, pipes: PipesSubprocessClient) -> MaterializeResult:
        return _run_child(context, pipes, name)

    return run


def _run_child(context: AssetExecutionContext, pipes: PipesSubprocessClient, name: StageName) -> MaterializeResult:
    """Run the stage of the context's partition; raise `Failure` with the stage's own words when it fails."""
    with tempfile.TemporaryDirectory() as folder:
        failure = Path(folder) / "failure.txt"
        extras = {"stage": name, "recipe": context.partition_key, "failure": str(failure)}
        command = [sys.executable, "-m", "assets.child"]
        environment = {"PYTHONPATH": str(CODE_ROOT)}
        try:
            done = pipes.run(context=context, command=command, extras=extras, cwd=str(project_root()), env=environment)
        except DagsterPipesExecutionError as error:
            words = failure.read_text(encoding="utf-8") if failure.is_file() else f"{error}: see the log of the step"
            raise Failure(f"{name}: {words}", allow_retries=False) from error
        return done.get_materialize_result()
