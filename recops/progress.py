"""Progress of long work: a bar on a terminal, a line every few seconds in a log.

A pipeline's stages mostly run without a terminal (Dagster, DVC, CI); a bar there would fill the log with control
characters, so a plain line with the estimate of what is left takes its place.
"""

import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

SECONDS_BETWEEN_LINES = 10.0


class Meter:
    """Counts finished units of work; `advance` also shows facts such as a loss."""

    def __init__(self, description: str, total: int | None, bar: Progress | None) -> None:
        self._description, self._total, self._bar = description, total, bar
        self._done, self._started, self._last_line = 0, time.monotonic(), time.monotonic()
        self._task = bar.add_task(description, total=total, facts="") if bar else None

    def advance(self, units: int = 1, **facts: float | str) -> None:
        """Report `units` more as done."""
        self._done += units
        shown = " ".join(f"{name}={_short(value)}" for name, value in facts.items())
        if self._bar is not None and self._task is not None:
            self._bar.update(self._task, completed=self._done, facts=shown)
        elif self._is_done() or time.monotonic() - self._last_line > SECONDS_BETWEEN_LINES:
            self._print_line(shown)

    def _is_done(self) -> bool:
        return self._total is not None and self._done >= self._total

    def _print_line(self, shown: str) -> None:
        self._last_line = time.monotonic()
        elapsed = self._last_line - self._started
        if self._total is None:
            line = f"{self._description}: {self._done}, {elapsed:.0f} s {shown}"
        else:
            left = elapsed / max(self._done, 1) * max(self._total - self._done, 0)
            line = f"{self._description}: {self._done}/{self._total}, {elapsed:.0f} s, {left:.0f} s left {shown}"
        print(line.rstrip(), flush=True)


@contextmanager
def progress(description: str, total: int | None) -> Iterator[Meter]:
    """Show progress of `total` units of work, None where nobody knows how many, for as long as the block runs."""
    if not sys.stdout.isatty():
        yield Meter(description, total, None)
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Progress(*columns, TimeRemainingColumn(), TextColumn("{task.fields[facts]}"), console=Console()) as bar:
        yield Meter(description, total, bar)


def _short(value: float | str) -> str:
    return value if isinstance(value, str) else f"{value:.4g}"
