"""The process of a promotion: `python -m jobs.promotion_child`, started by the job `promote`."""

import sys

from dagster_pipes import PipesContext

from assets.child_process import run_reported
from recops.config.recipe import load_recipe
from recops.paths import Layout, project_root
from recops.registry.commands import sentence
from recops.registry.promote import markdown_table, promote
from recops.tracking import run_url


def run(pipes: PipesContext) -> None:
    """Decide, and report what was decided and why."""
    layout = Layout(project_root(), str(pipes.get_extra("recipe")))
    decision = promote(layout, load_recipe(layout.recipe_file))
    pipes.report_custom_message(
        {
            "outcome": decision.outcome,
            "sentence": sentence(decision),
            "conditions": markdown_table(decision.conditions),
            "url": run_url(layout.root, decision.run_id),
        }
    )


if __name__ == "__main__":
    sys.exit(run_reported(run))
