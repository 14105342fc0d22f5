"""The process that executes one stage for a Dagster asset: `python -m assets.child`, started by `assets.children`."""

import sys

from dagster_pipes import PipesContext

from assets.child_process import run_reported
from assets.facts import stage_metadata
from recops.config.recipe import load_recipe
from recops.dvc_file import record_recipe
from recops.paths import Layout, project_root
from recops.runner import check_unchanged, run_stage
from recops.tracking import log_version, run_url
from recops.versioning import DVC_LOCK, commit_stage, output_hash


def run_asset_stage(pipes: PipesContext) -> None:
    """Run the stage that the Pipes context names, record it in DVC and report its materialization."""
    root, recipe_name, stage = project_root(), str(pipes.get_extra("recipe")), pipes.get_extra("stage")
    layout = Layout(root, recipe_name)
    recipe = load_recipe(layout.recipe_file)
    record_recipe(root, recipe_name)
    tags, whole = {"dagster_run_id": pipes.run_id}, str(pipes.get_extra("pipeline"))
    result = run_stage(stage, recipe=recipe, layout=layout, tags=tags, pipeline=whole)
    check_unchanged(stage, recipe, layout)
    entry = commit_stage(root, stage, recipe_name)
    log_version(root, result.run_id, entry, lock=root / DVC_LOCK)
    metadata = stage_metadata(stage, result.artefact, url=run_url(root, result.run_id), lock_entry=entry)
    pipes.report_asset_materialization(metadata=metadata, data_version=output_hash(entry))
    if stage == "evaluation_reports":
        from recops.registry.register import register

        print(f"registered as version {register(layout, recipe).version.number} of {recipe_name}", flush=True)


if __name__ == "__main__":
    sys.exit(run_reported(run_asset_stage))
