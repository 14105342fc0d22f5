"""SIGINT and SIGTERM: checkpoint where there is something to save, then stop.

Dagster Pipes sends SIGINT and schedulers send SIGTERM; both mean the same here. Work between two safe points runs
inside `deferred` and asks `requested`; anywhere else the signal raises `Interrupted` at once.
"""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(BaseException):
    """A signal asked the stage to stop; like KeyboardInterrupt it is no Exception, so that nothing swallows it."""


_state = {"requested": False, "deferred": False}


def install() -> None:
    """Handle SIGINT and SIGTERM from here on (main thread only)."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _handle)


def requested() -> bool:
    """Return whether a signal has asked to stop."""
    return _state["requested"]


@contextmanager
def deferred() -> Iterator[None]:
    """Let the block reach a safe point by itself: a first signal only sets `requested`, a second one raises."""
    _state["deferred"] = True
    try:
        yield
    finally:
        _state["deferred"] = False


def stop_if_requested() -> None:
    """Raise `Interrupted` when a signal has asked to stop."""
    if requested():
        raise Interrupted("stopped by a signal; the next start resumes")


def _handle(number: int, _frame: FrameType | None) -> None:
    again = _state["requested"]
    _state["requested"] = True
    if again or not _state["deferred"]:
        raise Interrupted(f"stopped by {signal.Signals(number).name}; the next start resumes")
