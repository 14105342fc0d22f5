"""How long one request takes: alone, one after the other, as a service without batches would answer.

Seconds belong to a machine and a moment, so that no artefact holds them: they go to the run in MLflow, as metrics and
in its copy of the report.
"""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from recops.records import Episode, Task


@dataclass(frozen=True, slots=True)
class Latency:
    """Median and 95th percentile of the seconds of single requests, and how many were timed."""

    p50: float
    p95: float
    num_requests: int

    def metrics(self, agent: str) -> dict[str, float]:
        """Return `latency_seconds_p50.AGENT` and `latency_seconds_p95.AGENT`."""
        return {f"latency_seconds_p50.{agent}": self.p50, f"latency_seconds_p95.{agent}": self.p95}


def measure_latency(play: Callable[[Sequence[Task]], list[Episode]], tasks: Sequence[Task]) -> Latency:
    """Return the seconds of tasks that are played one by one.

    The first task is played once more before, untimed: caches and threads are warm in a service that runs.

    Args:
        play: plays tasks, one episode each.
        tasks: what is asked, at least one.
    """
    play(tasks[:1])
    seconds = [_seconds(play, task) for task in tasks]
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    return Latency(float(p50), float(p95), len(tasks))


def _seconds(play: Callable[[Sequence[Task]], list[Episode]], task: Task) -> float:
    started = time.monotonic()
    play([task])
    return time.monotonic() - started
