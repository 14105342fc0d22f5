"""The table of results at a terminal, and where everything else is."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recops.artifacts import read_json, verify
from recops.metrics import METRICS
from recops.paths import Layout

if TYPE_CHECKING:
    # For the checker alone: the module loads torch, and a table of results needs none.
    from recops.evaluate.recommend import Recommendation

TABLE_WIDTH = 120
"""Columns that the table needs; a log has 80 by default, which would fold every row."""


def print_results(console: Console, root: Path, recipe: str) -> None:
    """Print the metrics of every system of a finished evaluation, and the places to look further.

    Raises:
        InputError: the evaluation is missing or damaged.
    """
    folder = Layout(root, recipe).artefact("evaluation_reports")
    console.width = max(console.width, TABLE_WIDTH)
    console.print(results_table(read_results(folder)))
    console.print(f"HTML report    {folder / 'report.html'}", highlight=False, soft_wrap=True)
    console.print(f"MLflow runs    http://127.0.0.1:5000 (experiment {recipe}), with: make ui", highlight=False)
    console.print("Dagster UI     http://127.0.0.1:3000, with: make ui", highlight=False)


def read_results(folder: Path) -> dict[str, Any]:
    """Return the metrics of a finished artefact of `evaluation_reports`.

    Raises:
        InputError: the evaluation is missing or damaged.
    """
    verify(folder)
    metrics: dict[str, Any] = read_json(folder / "metrics.json")
    return metrics


def results_table(metrics: dict[str, Any]) -> Table:
    """Return one row per system, best NDCG@10 first: means, and for NDCG@10 its interval."""
    title = f"{metrics['recipe']}, seed {metrics['seed']}, {metrics['num_samples']} test samples"
    table = Table(title=title)
    table.add_column("system")
    for name in METRICS:
        table.add_column(name, justify="right")
    table.add_column("invalid", justify="right")
    for system, values in _best_first(metrics):
        invalid = f"{values['invalid_answers']:.1%}" if "invalid_answers" in values else ""
        table.add_row(system, *(_cell(name, values[name]) for name in METRICS), invalid)
    return table


def markdown_table(metrics: dict[str, Any]) -> str:
    """Return the same table for a page."""
    head = ["system", *METRICS, "invalid", "calls"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for system, values in _best_first(metrics):
        cells = [_text(name, values[name]) for name in METRICS]
        cells += (
            [f"{values['invalid_answers']:.1%}", f"{values['calls_per_episode']:.1f}"]
            if "invalid_answers" in values
            else ["", ""]
        )
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _best_first(metrics: dict[str, Any]) -> list[tuple[str, dict[str, Any]]]:
    return sorted(metrics["systems"].items(), key=lambda pair: -pair[1]["ndcg@10"]["mean"])


def _text(name: str, value: dict[str, float]) -> str:
    interval = f" [{value['low']:.3f}, {value['high']:.3f}]" if name == "ndcg@10" else ""
    return f"{value['mean']:.3f}{interval}"


def _cell(name: str, value: dict[str, float]) -> str:
    return _text(name, value).replace("[", "\\[")


def print_baselines(console: Console, root: Path, recipe: str) -> None:
    """Print what the stage `baselines` measured on the test samples, as Markdown: a table for all that was ranked.

    Raises:
        InputError: the artefact is missing or damaged.
    """
    folder = Layout(root, recipe).artefact("baselines")
    verify(folder)
    for ranked, table in read_json(folder / "metrics.json")["slices"]["test"]["ranked"].items():
        console.print(
            f"\n{recipe}, {ranked}\n\n{baselines_table(table)}", markup=False, highlight=False, soft_wrap=True
        )


def baselines_table(table: dict[str, Any]) -> str:
    """Return one row per system, best NDCG@10 first, with its difference to the best one and that one's corrected p."""
    metrics = {name: groups["all"] for name, groups in table["systems"].items()}
    to_best = {one["system"]: one for one in table["differences"] if one["role"] == "best baseline"}
    head = ["system", *METRICS, "to the best", "p (Holm)"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for system in sorted(metrics, key=lambda name: -metrics[name]["ndcg@10"]["mean"]):
        cells = [_text(name, metrics[system][name]) for name in METRICS]
        one = to_best.get(system)
        cells += (
            [f"{one['mean']:.3f} [{one['low']:.3f}, {one['high']:.3f}]", f"{one['p_holm']:.3f}"] if one else ["", ""]
        )
        lines.append(f"| {system} | {' | '.join(cells)} |")
    return "\n".join(lines)


def print_recommendation(console: Console, found: "Recommendation") -> None:
    """Print a ranked list, and the tool calls that led to it."""
    console.print("History: " + "; ".join(found.history), highlight=False, markup=False)
    windows = f", in {found.num_episodes} windows: the last is shown" if found.num_episodes > 1 else ""
    console.print(f"Candidates: {found.num_ranked} {found.candidates}{windows}", highlight=False, markup=False)
    for turn in found.turns:
        console.print(f"{turn.kind}: {turn.text}", style="dim", highlight=False, markup=False)
    if found.invalid:
        console.print(f"{found.policy_stage} gave no valid answer: {found.error}", style="red", markup=False)
        return
    table = Table(title=f"{found.policy_stage} for {found.user_id or 'anybody'}")
    for column in ("place", "label", "item", "title", "category"):
        table.add_column(column)
    for item in found.items:
        table.add_row(str(item.place), item.label, item.item_id, escape(item.title), escape(item.category))
    console.width = max(console.width, TABLE_WIDTH)
    console.print(table)
