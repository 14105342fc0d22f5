"""Episodes that people wrote: JSON lines with the calls to make and the ranking, played through the real environment.

What a tool answers is never taken from the file: each call is made, so that an episode shows what an agent would see.
Every line is checked before any is used, and what is wrong is said with its line number.
"""

import json
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from recops.agent.answer import num_expected
from recops.agent.environment import environments_of
from recops.agent.prompts import answer_message, call_message, render_answer, tool_message
from recops.config.agent import AgentConfig
from recops.data.samples import SampleStore
from recops.errors import InputError
from recops.records import Episode, Task, label
from recops.tools.errors import ToolError
from recops.tools.toolbox import Toolbox

_SHOWN_PROBLEMS = 20


class _Line(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class WrittenCall(_Line):
    """A tool call: `thought` is what the agent says before it, null for the usual sentence."""

    tool: str
    arguments: dict[str, Any]
    thought: str | None = None


class WrittenEpisode(_Line):
    """One line: the user, the item that the user took, the calls in their order, and the ranking by item ids."""

    user_id: str
    item_id: str
    calls: list[WrittenCall]
    thought: str | None = None
    ranking: Annotated[list[str], Field(min_length=1)]


class _LineError(ValueError):
    """What is wrong with one line, in words."""


def written_episodes(path: Path, toolbox: Toolbox, agent: AgentConfig, control_tokens: Sequence[str]) -> list[Episode]:
    """Return the episodes of a file, in its order; their number of tokens is 0.

    Args:
        path: JSON lines in UTF-8; an empty line is skipped.
        toolbox: answers the calls; lines name samples of its `policy_train`.
        agent: what is expected of an answer.
        control_tokens: what no thought may spell.

    Raises:
        InputError: the file is missing, or lines are wrong: each is named by its number, with what is wrong.
    """
    if not path.is_file():
        step = "Correct expert_episodes.file, or set it to null."
        raise InputError(path, found="no such file", expected="JSON lines of written episodes", next_step=step)
    reader = _Reader(toolbox, agent, control_tokens)
    episodes, problems = [], []
    for number, text in _lines(path):
        try:
            episodes.append(reader.episode(text))
        except _LineError as error:
            problems.append(f"line {number}: {error}")
    if problems:
        shown = "; ".join(problems[:_SHOWN_PROBLEMS])
        more = f"; and {len(problems) - _SHOWN_PROBLEMS} more" if len(problems) > _SHOWN_PROBLEMS else ""
        step = "Correct these lines; docs/policies.md shows the format."
        raise InputError(path, found=shown + more, expected="written episodes of this recipe's data", next_step=step)
    return episodes


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    with path.open("rb") as file:
        for number, line in enumerate(file, start=1):
            if line.strip():
                yield number, line


class _Reader:
    """Turns lines into played episodes."""

    def __init__(self, toolbox: Toolbox, agent: AgentConfig, control_tokens: Sequence[str]) -> None:
        self._toolbox, self._agent, self._control_tokens = toolbox, agent, control_tokens
        store = toolbox.store
        self._users = {str(user): number for number, user in enumerate(store.users["user_id"])}
        self._items = {str(item): number for number, item in enumerate(store.items["item_id"], start=1)}
        self._samples = _sample_ids(store)

    def episode(self, text: bytes) -> Episode:
        written = self._parsed(text)
        task = self._task(written)
        labels = self._labels(written, task)
        [environment] = environments_of([task], self._toolbox, self._agent)
        messages: list[dict[str, Any]] = []
        for call in written.calls:
            if call.tool not in environment.tool_names:
                raise _LineError(f"no tool {call.tool!r} in agent.tools")
            messages += self._called(call, getattr(environment, call.tool))
        answer = answer_message(labels)
        if written.thought is not None:
            answer["content"] = f"{self._checked(written.thought)}\n{render_answer(labels)}"
        return environment.finish([*messages, answer], truncated=False, num_completion_tokens=0)

    def _parsed(self, text: bytes) -> WrittenEpisode:
        try:
            return WrittenEpisode.model_validate(json.loads(text.decode("utf-8")))
        except ValidationError as error:
            problems = [f"{'.'.join(map(str, part['loc']))}: {part['msg']}" for part in error.errors()]
            raise _LineError(", ".join(problems)) from error
        except ValueError as error:
            raise _LineError(f"no JSON: {error}") from error

    def _task(self, written: WrittenEpisode) -> Task:
        if written.user_id not in self._users:
            raise _LineError(f"no user {written.user_id!r} in the data")
        key = self._users[written.user_id], self._item(written.item_id)
        if key not in self._samples:
            raise _LineError(f"user {written.user_id!r} did not take {written.item_id!r} in policy_train")
        sample = self._toolbox.store.sample(self._samples[key])
        return Task(sample, sample.candidates, "rank")

    def _item(self, item_id: str) -> int:
        if item_id not in self._items:
            raise _LineError(f"item {item_id!r} is not in the catalogue (any more)")
        return self._items[item_id]

    def _labels(self, written: WrittenEpisode, task: Task) -> list[str]:
        items, wanted = [self._item(item_id) for item_id in written.ranking], num_expected(task, self._agent)
        foreign = [name for name, item in zip(written.ranking, items, strict=True) if item not in task.candidates]
        if foreign:
            raise _LineError(f"ranking: {', '.join(foreign[:3])} not among the candidates of the sample")
        if len(set(items)) != len(items):
            raise _LineError("ranking: an item stands in it twice")
        if len(items) != wanted:
            raise _LineError(f"ranking: {len(items)} items, expected {wanted}")
        return [label(task.candidates.index(item)) for item in items]

    def _called(self, call: WrittenCall, method: Callable[..., str]) -> list[dict[str, Any]]:
        try:
            answer = method(**call.arguments)
        except ToolError as error:
            raise _LineError(f"{call.tool}: {error}") from error
        message = call_message(call.tool, call.arguments)
        if call.thought is not None:
            message["content"] = self._checked(call.thought)
        return [message, tool_message(call.tool, answer)]

    def _checked(self, thought: str) -> str:
        spelled = [token for token in self._control_tokens if token in thought]
        if spelled:
            raise _LineError(f"a thought spells the control token {spelled[0]!r}")
        return thought


def _sample_ids(store: SampleStore) -> dict[tuple[int, int], int]:
    """(user, target) -> sample of `policy_train`; of several the latest."""
    samples = [store.sample(int(sample_id)) for sample_id in store.sample_ids("policy_train")]
    return {(sample.user, sample.target): sample.sample_id for sample in samples}
