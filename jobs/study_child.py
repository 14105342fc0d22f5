"""The process of a study: `python -m jobs.study_child`, started by the job `ablations`."""

import sys
from collections import Counter

from dagster_pipes import PipesContext

from assets.child_process import run_reported
from recops.paths import project_root
from recops.studies.plan import load_study, study_folder
from recops.studies.sitting import measure, wanted_cells
from recops.studies.table import study_page


def run(pipes: PipesContext) -> None:
    """Measure the cells that have no file, then write the page and report it."""
    root, name = project_root(), str(pipes.get_extra("study"))
    study, folder = load_study(root / "studies" / f"{name}.yaml"), study_folder(root, name)
    wanted = wanted_cells(study, recipe=pipes.get_extra("recipe"))
    outcomes: Counter[str] = Counter()
    for number, (cell, outcome) in enumerate(measure(root, study, wanted, minutes=pipes.get_extra("minutes")), start=1):
        pipes.log.info(f"{number}/{len(wanted)} {cell.file}: {outcome}")
        outcomes[outcome] += 1
    file = folder.with_suffix(".md")
    file.parent.mkdir(parents=True, exist_ok=True)
    page = study_page(study, folder)
    file.write_text(page, encoding="utf-8")
    told = {"measured": outcomes["measured"], "left": outcomes["not begun"]}
    pipes.report_custom_message({"page": page, "file": str(file), **told})


if __name__ == "__main__":
    sys.exit(run_reported(run))
