"""Episodes as rows of a table, and back: what a report keeps of them and what a resumed evaluation reads."""

import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from recops.metrics import ABSENT, rank_of
from recops.records import Answer, AnswerError, Call, Episode, Task

EPISODE_SCHEMA: dict[str, Any] = {
    "system": pl.String,
    "sample_id": pl.Int32,
    "direction": pl.String,
    "target": pl.Int32,
    "candidates": pl.List(pl.Int32),
    "messages": pl.String,
    "calls": pl.String,
    "ranking": pl.List(pl.Int32),
    "error": pl.String,
    "rank": pl.Int32,
    "rewards": pl.String,
    "num_completion_tokens": pl.Int32,
}
"""`messages`, `calls` and `rewards` are JSON; `error` is null for a valid answer; `rank` is 0-based."""


def episode_rank(episode: Episode) -> int:
    """Return the target's 0-based rank in a valid answer, `ABSENT` when the answer is invalid or does not hold it."""
    if episode.answer.error is not None:
        return ABSENT
    return rank_of(episode.task.sample.target, episode.answer.ranking)


def episodes_to_frame(system: str, episodes: Sequence[Episode]) -> pl.DataFrame:
    """Return one row per episode, in the given order, with the columns of `EPISODE_SCHEMA`."""
    return pl.DataFrame([_row(system, episode) for episode in episodes], schema=EPISODE_SCHEMA)


def episodes_from_frame(frame: pl.DataFrame, tasks: Sequence[Task]) -> list[Episode]:
    """Return the episodes that `episodes_to_frame` wrote, given the tasks of the rows in their order."""
    return [_episode(row, task) for row, task in zip(frame.iter_rows(named=True), tasks, strict=True)]


def _row(system: str, episode: Episode) -> dict[str, Any]:
    calls = [[call.tool, call.arguments, call.answer, call.failed] for call in episode.calls]
    return {
        "system": system,
        "sample_id": episode.task.sample.sample_id,
        "direction": episode.task.direction,
        "target": episode.task.sample.target,
        "candidates": episode.task.candidates,
        "messages": _json(episode.messages),
        "calls": _json(calls),
        "ranking": episode.answer.ranking,
        "error": episode.answer.error,
        "rank": episode_rank(episode),
        "rewards": _json(episode.rewards),
        "num_completion_tokens": episode.num_completion_tokens,
    }


def _episode(row: dict[str, Any], task: Task) -> Episode:
    asked = (task.sample.sample_id, task.candidates, task.direction)
    assert (row["sample_id"], tuple(row["candidates"]), row["direction"]) == asked, "episodes of other tasks"
    error = AnswerError(row["error"]) if row["error"] is not None else None
    return Episode(
        task=task,
        messages=tuple(json.loads(row["messages"])),
        calls=tuple(Call(*call) for call in json.loads(row["calls"])),
        answer=Answer(tuple(row["ranking"]), error),
        rewards=json.loads(row["rewards"]),
        num_completion_tokens=row["num_completion_tokens"],
    )


def _json(content: Any) -> str:
    return json.dumps(content, ensure_ascii=False)
