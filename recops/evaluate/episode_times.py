"""Times of played episodes in a file, beside what an interrupted evaluation keeps of them; in no artefact."""

from collections.abc import Sequence
from pathlib import Path

from recops.agent.times import Span, TurnTimes
from recops.artifacts import read_json, write_json


def write_times(file: Path, times: Sequence[Sequence[TurnTimes]]) -> None:
    """Write the times of each episode's turns."""
    write_json(file, [[[_pair(turn.written), [_pair(call) for call in turn.calls]] for turn in one] for one in times])


def read_times(file: Path) -> list[list[TurnTimes]]:
    """Return what `write_times` wrote."""
    return [
        [TurnTimes(Span(*written), tuple(Span(*call) for call in calls)) for written, calls in turns]
        for turns in read_json(file)
    ]


def _pair(span: Span) -> list[int]:
    return [span.started_ns, span.ended_ns]
