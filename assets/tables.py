"""Tables in Markdown."""

from collections.abc import Sequence
from typing import Any

RESULT_COLUMNS = ("hr@1", "ndcg@5", "ndcg@10", "mrr")


def markdown_table(columns: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Return a Markdown table; bars inside cells are escaped."""
    lines = [list(columns), ["---"] * len(columns), *rows]
    return "\n".join("| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines)


def systems_of(metrics: dict[str, Any]) -> dict[str, Any]:
    """Return the metrics by system on all test samples; the baselines' file has more beside these."""
    if "systems" in metrics:
        return dict(metrics["systems"])
    tables = metrics["slices"]["test"]["ranked"]["candidates"]["systems"]
    return {name: groups["all"] for name, groups in tables.items()}


def results_table(systems: dict[str, Any]) -> str:
    """Return one row per system, means with their intervals."""
    rows = [[name, *(_interval(values[column]) for column in RESULT_COLUMNS)] for name, values in systems.items()]
    return markdown_table(["system", *RESULT_COLUMNS], rows)


def _interval(value: dict[str, float]) -> str:
    return f"{value['mean']:.3f} [{value['low']:.3f}, {value['high']:.3f}]"
