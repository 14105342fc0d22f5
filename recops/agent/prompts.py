"""Every word that the agent is shown or taught to write, short because a small model reads it.

A label always follows a space (` A`), so that it is the same token in the prompt, in a tool's answer and in the answer
of the agent. The functions that render messages need no toolbox: synthetic episodes are written with them as well.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from transformers.utils.chat_template_utils import get_json_schema

from recops.agent.answer import PREFIX, num_expected
from recops.agent.environment import tool_method
from recops.agent.memory import HEADER, history_lines
from recops.config.agent import AgentConfig, Loop
from recops.records import Direction, Task, label
from recops.tools.context import render_order, spaced
from recops.tools.toolbox import Toolbox, suite

__all__ = [
    "ANSWER_THOUGHTS",
    "SYSTEM",
    "SYSTEM_WITHOUT_TOOLS",
    "THOUGHTS",
    "answer_message",
    "call_message",
    "call_of",
    "prompt_messages",
    "render_answer",
    "render_order",
    "request_line",
    "system_text",
    "task_messages",
    "tool_message",
    "tool_schemas",
]

SYSTEM: dict[Loop, str] = {
    "react": (
        "Find out what the user takes next. "
        "Call tools, one a turn, then write one line: Answer: and letters, best first."
    ),
    "analyze_plan_act": (
        "Find out what the user takes next. Each turn say what is known and what is missing, plan tools and call them "
        "in that order. When nothing is missing, write one line: Answer: and letters, best first."
    ),
}
"""What each loop asks for; the loops themselves are in `recops.agent.loops`."""

SYSTEM_WITHOUT_TOOLS: dict[Loop, str] = {
    "react": "Find out what the user takes next. Write one line: Answer: and letters, best first.",
    "analyze_plan_act": (
        "Find out what the user takes next. Say what is known, then write one line: Answer: and letters, best first."
    ),
}
"""The same where there is nothing to call."""

THOUGHTS: dict[str, str] = {
    "get_user_profile": "I look at the user's tastes.",
    "get_user_history": "I look at what the user took.",
    "get_session_behavior": "I look at how interest moved.",
    "get_rating_behavior": "I look at what the user liked.",
    "get_item_info": "I look at one candidate.",
    "get_related_items": "I ask what goes with an item.",
    "get_similar_items": "I ask what is near an item.",
    "rank_by_next_item": "I ask what follows this history.",
    "rank_by_taken_together": "I ask what goes with this history.",
    "rank_by_similarity": "I ask what is like this history.",
    "rank_by_popularity": "I ask what is popular.",
    "get_similar_users": "I ask what similar users took.",
    "analyze_candidates": "I group the candidates.",
    "search_catalog": "I search for words.",
    "answer": "I know enough.",
}
"""The fixed first-person sentence before a call of a tool of ours, and before the answer."""

ANSWER_THOUGHTS: dict[Direction, str] = {
    "rank": THOUGHTS["answer"],
    "more": "I name the MORE likely one.",
    "less": "I name the LESS likely one.",
}
"""The sentence before the answer repeats what was asked: a small model turns an order round only where it reads so."""


def task_messages(task: Task, toolbox: Toolbox, agent: AgentConfig) -> list[dict[str, Any]]:
    """Return the prompt of a task: a system message, equal for all tasks, a user message, and the task's opening."""
    context = toolbox.context(task)
    items = [event.item for event in task.sample.history]
    shown = context.described(task.candidates, agent.candidate_fields) if agent.candidate_fields else []
    request = request_line(task.direction, num_expected(task, agent))
    if task.request:
        request = f"{request}\nRequest: {toolbox.sanitizer.clean(task.request)}"
    messages = prompt_messages(
        request,
        history=history_lines(items, context.item_text, agent, toolbox.count_tokens, describe=context.described),
        num_candidates=len(task.candidates),
        candidates=shown,
        system=system_text(agent),
    )
    return [*messages, *task.opening]


def system_text(agent: AgentConfig) -> str:
    """Return the system message: what the loop asks for, of an agent that has tools or none."""
    return (SYSTEM if agent.tools else SYSTEM_WITHOUT_TOOLS)[agent.loop]


def prompt_messages(
    request: str, *, history: Sequence[str], num_candidates: int, candidates: Sequence[str], system: str
) -> list[dict[str, Any]]:
    """Return system and user message.

    Args:
        request: first line of the user message, see `request_line`.
        history: clean lines, oldest first, see `recops.agent.memory`; empty to leave the block out.
        num_candidates: how many labels there are.
        candidates: one clean line per candidate; empty to say only which labels there are. They are not listed: a
            small model that learns to copy an order would first copy the alphabet.
        system: see `system_text`.
    """
    labels = [label(place) for place in range(num_candidates)]
    lines = [request, *([HEADER, *history] if history else [])]
    if candidates:
        lines += ["Candidates:", *(f" {name} | {text}" for name, text in zip(labels, candidates, strict=True))]
    else:
        lines += [f"Candidates: {labels[0]} to {labels[-1]}"]
    return [{"role": "system", "content": system}, {"role": "user", "content": "\n".join(lines)}]


def request_line(direction: Direction, num_ranked: int) -> str:
    """Return the first line of the user message."""
    if direction == "rank":
        return f"Rank the {num_ranked} candidates most likely to be taken next."
    return f"Which of the two is {direction.upper()} likely to be taken next?"


def render_answer(labels: Sequence[str]) -> str:
    """Return the answer line: `Answer: C A B`."""
    return PREFIX + spaced(labels)


def answer_message(labels: Sequence[str], direction: Direction = "rank") -> dict[str, Any]:
    """Return the last message of an episode, as the agent writes it."""
    return {"role": "assistant", "content": f"{ANSWER_THOUGHTS[direction]}\n{render_answer(labels)}"}


def call_message(tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a message that calls one tool, as the agent writes it and as TRL parses it."""
    thought = THOUGHTS.get(tool, f"I call {tool}.")
    return {"role": "assistant", "content": thought, "tool_calls": [call_of(tool, arguments)]}


def call_of(tool: str, arguments: Mapping[str, Any]) -> dict[str, Any]:
    """Return a call as messages hold it."""
    return {"type": "function", "function": {"name": tool, "arguments": dict(arguments)}}


def tool_message(tool: str, content: str) -> dict[str, Any]:
    """Return the message with a tool's answer, as TRL's loop appends it."""
    return {"role": "tool", "name": tool, "content": content}


def tool_schemas(agent: AgentConfig) -> list[dict[str, Any]]:
    """Return the JSON schemas of the suite's tools, equal to those that TRL renders for the environment's methods.

    They are in alphabetical order, for TRL lists methods with `inspect.getmembers`.
    """
    functions = suite(agent)
    return [get_json_schema(tool_method(functions[name]).__get__(object())) for name in sorted(functions)]
