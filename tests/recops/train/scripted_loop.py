"""Completions and rewards that a test chose, handed to a trainer where `OwnLoop` asks who plays."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import pytest

from recops.agent.local_policy import LocalPolicy
from recops.agent.player import Rollout
from recops.agent.times import Times
from recops.records import Answer, AnswerError, Call, Episode, Task


@dataclass(frozen=True)
class Played:
    """What one episode wrote and earned; `is_models` is 1 where the model wrote, 0 where a tool did.

    `rewards` are its terms by name (one, `chosen`, where only `reward` is given), `calls` and `error` what it did.
    """

    completion_ids: list[int]
    is_models: list[int]
    reward: float
    rewards: Mapping[str, float] = field(default_factory=dict)
    calls: tuple[Call, ...] = ()
    error: AnswerError | None = None


Script = Callable[[Sequence[Task]], Sequence[Played]]
"""The tasks of a step -> what each of them played."""


def follow(monkeypatch: pytest.MonkeyPatch, script: Script, *, prompt_ids: Sequence[int] = (1, 2, 3)) -> None:
    """Let the loop `recops` hand the script's completions to the loss, all after one prompt."""

    def rollouts(_policy: LocalPolicy, tasks: Sequence[Task], *_: Any, times: Times, **__: Any) -> list[Rollout]:
        times.update({place: [] for place in range(len(tasks))})
        return [
            Rollout(_episode(task, one), list(prompt_ids), one.completion_ids, one.is_models)
            for task, one in zip(tasks, script(tasks), strict=True)
        ]

    monkeypatch.setattr("recops.train.tool_loops.rollouts", rollouts)


def always(played: Sequence[Played]) -> Script:
    """Every step plays the same, whatever its tasks."""
    return lambda _: played


def _episode(task: Task, played: Played) -> Episode:
    answer = Answer(() if played.error else task.candidates, played.error)
    rewards = dict(played.rewards) or {"chosen": played.reward}
    return Episode(task, (), played.calls, answer, rewards, len(played.completion_ids))
