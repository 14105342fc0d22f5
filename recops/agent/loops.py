"""The two loops as they are written: what a turn says before its calls, and before the answer.

`react` (AgenticRec): a thought, one call, its answer, and so on. `analyze_plan_act` (RecThinker): each turn is a round
that says what is known and what is missing (analyze), names the tools in their order (plan) and calls them (act); when
nothing is missing it answers. Environment, budget and parser are the same; only what the model learns to write differs.
Every line is one of few, for the tokenizer of the embedded policy makes one token of a line that repeats.
"""

from collections.abc import Sequence
from typing import Any

from recops.agent.fusion import ORDERING_TOOLS
from recops.agent.prompts import (
    ANSWER_THOUGHTS,
    answer_message,
    call_message,
    call_of,
    render_answer,
    render_order,
    tool_message,
)
from recops.config.agent import Loop
from recops.records import Call, Direction

Round = Sequence[Call]
"""Calls that were planned together, in order."""

KNOWLEDGE: dict[str, str] = {
    "get_user_profile": "who the user is",
    "get_user_history": "what the user took",
    "get_session_behavior": "what the user does lately",
    "get_rating_behavior": "what the user rates high",
    "get_item_info": "one candidate",
    "get_related_items": "what goes with an item",
    "analyze_candidates": "how the candidates group",
    "rank_by_popularity": "what is popular",
    "get_similar_items": "what is near an item",
    "get_similar_users": "what similar users took",
    "rank_by_next_item": "what follows this history",
    "rank_by_taken_together": "what goes with this history",
    "rank_by_similarity": "what is like this history",
    "search_catalog": "what matches the request",
}
"""What is known once a tool has answered."""

ASKED, COMPLETE = "Known: what was asked.", "Missing: nothing."
AGREE, DIFFER = "The orders agree on the first.", "The orders differ on the first."


def episode_messages(
    loop: Loop, rounds: Sequence[Round], labels: Sequence[str], direction: Direction
) -> list[dict[str, Any]]:
    """Return what follows the prompt of an episode: the calls as the loop writes them, their answers, the final answer.

    Args:
        loop: the form of the turns.
        rounds: calls with their answers; `react` makes a turn of every call, `analyze_plan_act` of every round.
        labels: the answer, best first.
        direction: what was asked.
    """
    messages = call_messages(loop, rounds)
    if loop == "react":
        return [*messages, answer_message(labels, direction)]
    lines = [*_known([call for calls in rounds for call in calls]), COMPLETE]
    lines += [] if direction == "rank" else [ANSWER_THOUGHTS[direction]]
    return [*messages, {"role": "assistant", "content": "\n".join([*lines, render_answer(labels)])}]


def call_messages(loop: Loop, rounds: Sequence[Round]) -> list[dict[str, Any]]:
    """Return the turns of an episode up to the last tool's answer, without the final answer."""
    messages: list[dict[str, Any]] = []
    known: list[Call] = []
    for calls in rounds:
        if loop == "react":
            for call in calls:
                messages += [call_message(call.tool, call.arguments), tool_message(call.tool, call.answer)]
        else:
            messages += [_round_message(known, calls), *(tool_message(call.tool, call.answer) for call in calls)]
        known += calls
    return messages


def leaders(calls: Sequence[Call]) -> set[str]:
    """Return the candidates (labels) that an ordering answer among `calls` puts first."""
    head = render_order([""])
    answers = [call.answer for call in calls if call.tool in ORDERING_TOOLS]
    lines = [line for answer in answers for line in answer.splitlines() if line.startswith(head)]
    return {line.removeprefix(head).split()[0] for line in lines}


def _round_message(known: Sequence[Call], calls: Round) -> dict[str, Any]:
    """Return the turn that plans `calls` and makes them, after `known` have been answered."""
    missing = [f"Missing: {KNOWLEDGE.get(call.tool, call.tool)}." for call in calls]
    plan = [f"Plan: {call.tool}" for call in calls]
    content = "\n".join([*_known(known), *dict.fromkeys(missing), *plan])
    return {"role": "assistant", "content": content, "tool_calls": [call_of(one.tool, one.arguments) for one in calls]}


def _known(calls: Sequence[Call]) -> list[str]:
    """Return what the answers so far tell, and whether those that order candidates agree on the first."""
    if not calls:
        return [ASKED]
    lines = [f"Known: {KNOWLEDGE.get(call.tool, call.tool)}." for call in calls]
    first = [leaders([call]) for call in calls]
    num_orders = sum(bool(one) for one in first)
    agreement = [AGREE if len(set.union(*first)) == 1 else DIFFER] if num_orders > 1 else []
    return [*dict.fromkeys(lines), *agreement]
