"""`recops study`: run the cells of a study, and write its page."""

import time
from typing import Annotated

import typer
from rich.console import Console

from recops import interrupt
from recops.errors import InputError
from recops.paths import project_root
from recops.studies.plan import load_study, study_folder

app = typer.Typer(no_args_is_help=True, help="Comparisons over recipes, variants and training seeds.")
console = Console()

NameArgument = Annotated[str, typer.Argument(help="A file of studies/, without its ending.")]


@app.command("run")
def study_run(
    name: NameArgument,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help="Only this recipe.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Only this training seed.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Begin no cell after so many minutes.")] = None,
) -> None:
    """Measure the cells of a study that have no file yet; stopped, it goes on where it ended."""
    from recops.studies.cells import run_cell

    interrupt.install()
    root = project_root()
    study = load_study(root / "studies" / f"{name}.yaml")
    wanted = [one for one in study.cells() if recipe in (None, one.recipe) and seed in (None, one.training_seed)]
    if not wanted:
        expected = f"of {', '.join(study.recipes)} and {', '.join(map(str, study.training_seeds))}"
        step = "Name a recipe and a seed of the study."
        raise InputError(name, found=f"no cell of recipe {recipe}, seed {seed}", expected=expected, next_step=step)
    folder, began = study_folder(root, name), time.monotonic()
    for number, cell in enumerate(wanted, start=1):
        told = f"{number}/{len(wanted)} {cell.file}"
        if (folder / cell.file).is_file():
            console.print(f"{told}: there already", highlight=False, soft_wrap=True)
            continue
        if minutes is not None and time.monotonic() - began > 60 * minutes:
            console.print(f"{told}: not begun, {minutes:g} minutes are over", highlight=False, soft_wrap=True)
            break
        console.print(f"{told}: measured, {run_cell(root, study, cell, folder)}", highlight=False, soft_wrap=True)


@app.command("table")
def study_table(name: NameArgument) -> None:
    """Write the page of a study from the cells that are there."""
    from recops.studies.table import study_page

    root = project_root()
    path = study_folder(root, name).with_suffix(".md")
    path.write_text(
        study_page(load_study(root / "studies" / f"{name}.yaml"), study_folder(root, name)), encoding="utf-8"
    )
    console.print(f"wrote {path}", highlight=False, soft_wrap=True)
