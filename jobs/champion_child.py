"""The process in which the champion plays: `python -m jobs.champion_child`, started by the job `measure_champion`."""

import sys

from dagster_pipes import PipesContext

from assets.child_process import run_reported
from recops.config.recipe import load_recipe
from recops.paths import Layout, project_root
from recops.registry.fresh import measure_champion
from recops.tracking import run_url


def run(pipes: PipesContext) -> None:
    """Measure the champion of the recipe in the extras, and report its score."""
    layout = Layout(project_root(), str(pipes.get_extra("recipe")))
    score = measure_champion(layout, load_recipe(layout.recipe_file))
    told = {"version": score.version, "ndcg_at_10": score.ndcg_at_10, "invalid_fraction": score.invalid_fraction}
    pipes.report_custom_message({**told, "mlflow_run": run_url(layout.root, score.run_id)})


if __name__ == "__main__":
    sys.exit(run_reported(run))
