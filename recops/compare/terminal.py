"""A comparison of runs at a terminal."""

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from recops.compare.comparison import RunComparison, notes
from recops.compare.pairing import Change
from recops.evaluate.paired import MAIN_METRIC

TABLE_WIDTH = 60
RUN_WIDTH = 34
"""Columns that a table needs beside, and for, each run; a log has 80 by default, which would fold every row."""


def print_comparison(console: Console, comparison: RunComparison) -> None:
    """Print which settings differ, and NDCG@10 of every system in every run with its difference to the first."""
    console.width = max(console.width, TABLE_WIDTH + RUN_WIDTH * len(comparison.evaluations))
    if comparison.settings:
        console.print(_settings(comparison))
    else:
        console.print("Settings, code and libraries are the same, as far as they are recorded.")
    console.print(_systems(comparison))
    for sentence in notes(comparison):
        console.print(sentence, markup=False, highlight=False, soft_wrap=True)


def change_text(change: Change | None, confidence: float) -> str:
    """Return a difference to the first run in a few characters; a star where its corrected test shows it."""
    if change is None:
        return ""
    one = change.difference
    if one is None:
        return "same ranks"
    star = " *" if change.p_holm < 1 - confidence else ""
    return f"{one.mean:+.3f} [{one.low:+.3f}, {one.high:+.3f}]{star}"


def _settings(comparison: RunComparison) -> Table:
    table = Table(title="What differs")
    table.add_column("key", overflow="fold")
    for one in comparison.evaluations:
        table.add_column(escape(one.label), overflow="fold")
    for setting in comparison.settings:
        table.add_row(escape(setting.key), *(escape(value) for value in setting.values))
    return table


def _systems(comparison: RunComparison) -> Table:
    first = comparison.evaluations[0]
    confidence = first.settings["evaluation_reports"]["confidence"]
    table = Table(title=f"NDCG@10, and the paired difference to {escape(first.label)} (*: shown, all tests corrected)")
    table.add_column("system")
    for one in comparison.evaluations:
        table.add_column(escape(one.label), justify="right")
    for system in comparison.systems:
        cells = [_mean(one.metrics["systems"].get(system)) for one in comparison.evaluations]
        told = [change_text(change.get(system), confidence) for change in comparison.changes]
        table.add_row(system, cells[0], *(escape(f"{a}  {b}".rstrip()) for a, b in zip(cells[1:], told, strict=True)))
    return table


def _mean(values: dict[str, dict[str, float]] | None) -> str:
    return f"{values[MAIN_METRIC]['mean']:.3f}" if values else "not measured"
