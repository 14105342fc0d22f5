"""The process of a trial: `python -m jobs.trial_child`, started by the job `trial`."""

import json
import sys
from pathlib import Path
from typing import Any

from dagster_pipes import PipesContext

from assets.child_process import run_reported
from assets.differences import results_beside
from assets.facts import stage_metadata
from recops.paths import Layout, project_root
from recops.tracking import run_that_made, run_url
from recops.trials import TrialStage, run_trial


def run(pipes: PipesContext) -> None:
    """Run the trial of the extras; a line in the file `made` for each stage that is not the recipe's own."""
    recipe, through = str(pipes.get_extra("recipe")), pipes.get_extra("through")
    root, overrides = project_root(), pipes.get_extra("overrides")
    tags, whole = {"dagster_run_id": pipes.run_id}, str(pipes.get_extra("pipeline"))
    with Path(str(pipes.get_extra("made"))).open("w", encoding="utf-8") as lines:
        for made in run_trial(root, recipe, overrides, through=through, tags=tags, pipeline=whole):
            pipes.log.info(f"{made.name}: {made.origin}, {made.artefact}")
            if made.origin != "recipe":
                lines.write(json.dumps({"stage": made.name, "metadata": _metadata(root, recipe, made)}) + "\n")
                lines.flush()


def _metadata(root: Path, recipe: str, made: TrialStage) -> dict[str, Any]:
    run_id = run_that_made(root, recipe, stage=made.name, fingerprint=made.fingerprint)
    own = Layout(root, recipe).artefact(made.name)
    return {
        "trial": {"type": "bool", "raw_value": True},
        "fingerprint": {"type": "text", "raw_value": made.fingerprint},
        "origin": {"type": "text", "raw_value": made.origin},
        "beside_the_recipe": {"type": "md", "raw_value": results_beside(own, made.artefact)},
        **stage_metadata(made.name, made.artefact, url=run_url(root, run_id) if run_id else None),
    }


if __name__ == "__main__":
    sys.exit(run_reported(run))
