"""One sitting of a study: which of its cells are wanted, and those that have no file yet, measured one by one."""

import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Literal

from recops.errors import InputError
from recops.studies.cells import run_cell
from recops.studies.plan import Cell, Study, study_folder
from recops.studies.sweep import log_sweep

Outcome = Literal["there already", "measured", "not begun"]


def wanted_cells(
    study: Study, *, recipe: str | None = None, seed: int | None = None, variant: str | None = None
) -> list[Cell]:
    """Return the cells of a recipe, of a training seed and of a variant, where they are named.

    Raises:
        InputError: the study has none of them.
    """
    wanted = [
        one
        for one in study.cells()
        if recipe in (None, one.recipe) and seed in (None, one.training_seed) and variant in (None, one.variant)
    ]
    if not wanted:
        offered = study.recipes, map(str, study.training_seeds), study.variants
        expected = "of " + " and ".join(", ".join(names) for names in offered)
        step = "Name a recipe, a seed and a variant of the study."
        found = f"no cell of recipe {recipe}, seed {seed}, variant {variant}"
        raise InputError(study.name, found=found, expected=expected, next_step=step)
    return wanted


def measure(
    root: Path, study: Study, cells: Sequence[Cell], *, minutes: float | None
) -> Iterator[tuple[Cell, Outcome]]:
    """Measure those that have no file, and say of each what became of it; begin none after so many minutes.

    What a variant's training seeds say together is written to MLflow: after each measurement, and at the end for cells
    that were there already.

    Raises:
        InputError: as `run_cell`; the cells before it have their files.
    """
    folder, began = study_folder(root, study.name), time.monotonic()
    for cell in cells:
        if (folder / cell.file).is_file():
            yield cell, "there already"
        elif minutes is not None and time.monotonic() - began > 60 * minutes:
            yield cell, "not begun"
        else:
            run_cell(root, study, cell, folder)
            log_sweep(root, study, cell.recipe, cell.variant)
            yield cell, "measured"
    for recipe, variant in dict.fromkeys((cell.recipe, cell.variant) for cell in cells):
        log_sweep(root, study, recipe, variant)
