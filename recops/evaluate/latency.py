"""How long one request takes: alone, one after the other, as a service without batches would answer.

Seconds belong to a machine and a moment, so that no artefact holds them: they go to the run in MLflow.
"""

import time
from collections.abc import Callable, Sequence

import numpy as np

from recops.records import Episode, Task


def latency_metrics(
    play: Callable[[Sequence[Task]], list[Episode]], tasks: Sequence[Task], *, agent: str
) -> dict[str, float]:
    """Return `latency_seconds_p50.AGENT` and `latency_seconds_p95.AGENT` over tasks that are played one by one.

    The first task is played once more before, untimed: caches and threads are warm in a service that runs.

    Args:
        play: plays tasks, one episode each.
        tasks: what is asked, at least one.
        agent: whose latency it is.
    """
    play(tasks[:1])
    seconds = [_seconds(play, task) for task in tasks]
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    return {f"latency_seconds_p50.{agent}": float(p50), f"latency_seconds_p95.{agent}": float(p95)}


def _seconds(play: Callable[[Sequence[Task]], list[Episode]], task: Task) -> float:
    started = time.monotonic()
    play([task])
    return time.monotonic() - started
