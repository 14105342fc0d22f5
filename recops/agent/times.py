"""When turns were written and calls answered: measured while an episode is played, kept by no artefact."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Span:
    """From when to when something lasted, by the wall clock, in nanoseconds since 1970 (UTC)."""

    started_ns: int
    ended_ns: int


@dataclass(frozen=True, slots=True)
class TurnTimes:
    """One turn of the model: from when it could write until its message was read, and each call in it."""

    written: Span
    calls: tuple[Span, ...]


Times = dict[int, list[TurnTimes]]
"""The turns of each task that was played, by the task's place."""
