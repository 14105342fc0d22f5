"""The table of results at a terminal, and where everything else is."""

from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from recops.artifacts import read_json, verify
from recops.metrics import METRICS
from recops.paths import Layout


def print_results(console: Console, root: Path, recipe: str) -> None:
    """Print the metrics of every system of a finished evaluation, and the places to look further.

    Raises:
        InputError: the evaluation is missing or damaged.
    """
    folder = Layout(root, recipe).artefact("evaluation_reports")
    verify(folder)
    console.print(results_table(read_json(folder / "metrics.json")))
    console.print(f"HTML report    {folder / 'report.html'}", highlight=False, soft_wrap=True)
    console.print(f"MLflow runs    http://127.0.0.1:5000 (experiment {recipe}), with: make ui", highlight=False)
    console.print("Dagster UI     http://127.0.0.1:3000, with: make ui", highlight=False)


def results_table(metrics: dict[str, Any]) -> Table:
    """Return one row per system: means, and for NDCG@10 its interval."""
    title = f"{metrics['recipe']}, seed {metrics['seed']}, {metrics['num_samples']} test samples"
    table = Table(title=title)
    table.add_column("system")
    for name in METRICS:
        table.add_column(name, justify="right")
    table.add_column("invalid", justify="right")
    for system, values in metrics["systems"].items():
        invalid = f"{values['invalid_answers']:.1%}" if "invalid_answers" in values else ""
        table.add_row(system, *(_cell(name, values[name]) for name in METRICS), invalid)
    return table


def _cell(name: str, value: dict[str, float]) -> str:
    interval = f" [{value['low']:.3f}, {value['high']:.3f}]" if name == "ndcg@10" else ""
    return f"{value['mean']:.3f}{interval}".replace("[", "\\[")
