"""`recops compare`."""

import re
from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recops.paths import project_root

PageOption = Annotated[Path | None, typer.Option("--out", help="The page; otherwise below runs/compare/.")]
RunsArgument = Annotated[
    list[str], typer.Argument(help="Each a recipe, the beginning of a trial's fingerprint, a folder, or an MLflow run.")
]


def compare(runs: RunsArgument, out: PageOption = None) -> None:
    """Compare finished evaluations with the first: settings, metrics, groups of samples, sample by sample."""
    from recops.compare.comparison import compare_runs  # polars and matplotlib: a second that `--help` need not take
    from recops.compare.page import write_page
    from recops.compare.terminal import print_comparison

    root, console = project_root(), Console()
    comparison = compare_runs(root, runs)
    print_comparison(console, comparison)
    labels = "_".join(re.sub(r"[^A-Za-z0-9]+", "-", one.label).strip("-") for one in comparison.evaluations)
    path = write_page(comparison, out or root / "runs" / "compare" / f"{labels[:150]}.html")
    console.print(f"HTML page      {path}", highlight=False, soft_wrap=True, markup=False)
