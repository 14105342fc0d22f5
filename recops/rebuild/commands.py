"""`recops rebuild`."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from recops.paths import project_root

if TYPE_CHECKING:
    # For the checker alone: the module loads the runner, and a command's help needs none.
    from recops.rebuild.rebuild import Rebuilt

EXIT_DIFFERENT = 3
"""Not 1, with which Python ends after a traceback."""

_MAX_ROWS = 20

RunArgument = Annotated[str, typer.Argument(help="The id of a run in MLflow: the execution of a stage.")]
FolderArgument = Annotated[Path, typer.Argument(help="Becomes a checkout of its own: empty, or not there yet.")]
ComputeOption = Annotated[bool, typer.Option("--compute", help="Compute everything, also where a remote has it.")]


def rebuild(run_id: RunArgument, folder: FolderArgument, compute: ComputeOption = False) -> None:
    """Make a run of MLflow again in a folder, from its commit, recipe and dvc.lock; exit code 3 where it differs."""
    from recops.rebuild.rebuild import rebuild as make_again

    console = Console()
    done = make_again(project_root(), run_id, folder.resolve(), compute=compute)
    _print(console, done)
    if not done.is_same:
        raise typer.Exit(EXIT_DIFFERENT)


def _print(console: Console, done: "Rebuilt") -> None:
    how = "computed" if done.pulled_from is None else f"pulled from {done.pulled_from}"
    lines = [f"{done.run.stage} of {done.run.name}, commit {done.run.commit[:12]}, {how}: {done.artefact}"]
    if done.is_same:
        lines.append(f"The same as in the run: every file by its bytes, and all {done.num_numbers} numbers.")
    if done.changed_files:
        lines.append(f"Files with other bytes: {', '.join(done.changed_files)}")
    if done.libraries:
        lines.append(f"Installed then and now: {', '.join(done.libraries)}")
    for line in lines:
        console.print(line, highlight=False, soft_wrap=True, markup=False)
    if done.differences:
        console.print(_table(done))


def _table(done: "Rebuilt") -> Table:
    shown = done.differences[:_MAX_ROWS]
    table = Table(title=f"{len(done.differences)} of {done.num_numbers} numbers differ; the first {len(shown)}")
    for column in ("number", "then", "now"):
        table.add_column(column, overflow="fold")
    for one in shown:
        table.add_row(one.name, *("none" if value is None else f"{value:.6g}" for value in (one.then, one.now)))
    return table
