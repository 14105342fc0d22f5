"""The process of a study: `python -m jobs.study_child`, started by the job `ablations`."""

import sys
import time

from dagster_pipes import PipesContext

from assets.child_process import run_reported
from recops.errors import InputError
from recops.paths import project_root
from recops.studies.cells import run_cell
from recops.studies.plan import Cell, Study, load_study, study_folder
from recops.studies.table import study_page


def run(pipes: PipesContext) -> None:
    """Measure the cells that have no file, then write the page and report it."""
    root, name = project_root(), str(pipes.get_extra("study"))
    study, folder = load_study(root / "studies" / f"{name}.yaml"), study_folder(root, name)
    missing = [cell for cell in _wanted(study, pipes.get_extra("recipe")) if not (folder / cell.file).is_file()]
    minutes, began = pipes.get_extra("minutes"), time.monotonic()
    measured = 0
    for cell in missing:
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            break
        pipes.log.info(f"{cell.file}: cell {measured + 1} of {len(missing)}")
        run_cell(root, study, cell, folder)
        measured += 1
    file = folder.with_suffix(".md")
    file.parent.mkdir(parents=True, exist_ok=True)
    page = study_page(study, folder)
    file.write_text(page, encoding="utf-8")
    left = len(missing) - measured
    pipes.report_custom_message({"page": page, "file": str(file), "measured": measured, "left": left})


def _wanted(study: Study, recipe: str | None) -> list[Cell]:
    wanted = [cell for cell in study.cells() if recipe in (None, cell.recipe)]
    if not wanted:
        expected = f"one of {', '.join(study.recipes)}"
        raise InputError(study.name, found=f"no cell of recipe {recipe}", expected=expected, next_step="Name one.")
    return wanted


if __name__ == "__main__":
    sys.exit(run_reported(run))
