"""A played episode as steps with times: what was read, what was written or answered, and when.

`recops.tracking` gives traces to MLflow. Their times belong to a machine and a moment, so that no artefact holds them.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

StepKind = Literal["AGENT", "CHAT_MODEL", "TOOL"]
"""In MLflow's words: a whole episode, a turn of the model, a call."""


@dataclass(frozen=True)
class Step:
    """One step of an episode, from when to when by the wall clock, in nanoseconds since 1970 (UTC).

    Attributes:
        inputs, outputs: plain values, as JSON takes them.
        error: why the step failed, None where it did not.
        facts: what else is known of it.
    """

    name: str
    kind: StepKind
    started_ns: int
    ended_ns: int
    inputs: Any
    outputs: Any
    error: str | None
    facts: Mapping[str, Any]


@dataclass(frozen=True)
class Trace:
    """An episode as a step, and the steps in it in their order.

    Attributes:
        tags: what a trace is found by.
        feedback: what the episode was worth, in named numbers.
    """

    whole: Step
    steps: tuple[Step, ...]
    tags: Mapping[str, str]
    feedback: Mapping[str, float]
