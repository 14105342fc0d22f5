"""The process of a study: `python -m jobs.study_child`, started by the job `ablations`."""

import sys
from collections import Counter

from dagster_pipes import PipesContext

from assets.child_process import run_reported
from recops.paths import project_root
from recops.studies.page import write_page
from recops.studies.plan import load_study
from recops.studies.sitting import measure, wanted_cells


def run(pipes: PipesContext) -> None:
    """Measure the cells that have no file, then write the page and report it."""
    root, name = project_root(), str(pipes.get_extra("study"))
    study = load_study(root / "studies" / f"{name}.yaml")
    wanted = wanted_cells(study, recipe=pipes.get_extra("recipe"))
    outcomes: Counter[str] = Counter()
    for number, (cell, outcome) in enumerate(measure(root, study, wanted, minutes=pipes.get_extra("minutes")), start=1):
        pipes.log.info(f"{number}/{len(wanted)} {cell.file}: {outcome}")
        outcomes[outcome] += 1
    page, tables = write_page(root, study)
    told = {"measured": outcomes["measured"], "left": outcomes["not begun"]}
    pipes.report_custom_message({"page": tables, "file": str(page), **told})


if __name__ == "__main__":
    sys.exit(run_reported(run))
