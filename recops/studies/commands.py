"""`recops study`: run the cells of a study, and write its tables."""

from typing import Annotated

import typer
from rich.console import Console

from recops import interrupt
from recops.paths import project_root
from recops.studies.plan import load_study

app = typer.Typer(no_args_is_help=True, help="Comparisons over recipes, variants and training seeds.")
console = Console()

NameArgument = Annotated[str, typer.Argument(help="A file of studies/, without its ending.")]


@app.command("run")
def study_run(
    name: NameArgument,
    recipe: Annotated[str | None, typer.Option("--recipe", "-r", help="Only this recipe.")] = None,
    seed: Annotated[int | None, typer.Option("--seed", help="Only this training seed.")] = None,
    variant: Annotated[str | None, typer.Option(help="Only this variant.")] = None,
    minutes: Annotated[float | None, typer.Option(help="Begin no cell after so many minutes.")] = None,
) -> None:
    """Measure the cells of a study that have no file yet; stopped, it goes on where it ended."""
    from recops.studies.sitting import measure, wanted_cells  # torch: some seconds that `--help` need not take

    interrupt.install()
    root = project_root()
    study = load_study(root / "studies" / f"{name}.yaml")
    wanted = wanted_cells(study, recipe=recipe, seed=seed, variant=variant)
    for number, (cell, outcome) in enumerate(measure(root, study, wanted, minutes=minutes), start=1):
        console.print(f"{number}/{len(wanted)} {cell.file}: {outcome}", highlight=False, soft_wrap=True)


@app.command("table")
def study_table(name: NameArgument) -> None:
    """Write the tables of a study into docs/results.md, from the cells that are there."""
    from recops.studies.page import write_page

    root = project_root()
    page, _ = write_page(root, load_study(root / "studies" / f"{name}.yaml"))
    console.print(f"wrote {page}", highlight=False, soft_wrap=True)
