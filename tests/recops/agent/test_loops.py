"""The two loops as they are written and as the scripted expert plays them."""

import dataclasses
import json

import numpy as np
import pytest

from recops.agent.answer import parse_answer
from recops.agent.experts import fit_script
from recops.agent.fusion import ORDERING_TOOLS
from recops.agent.loops import AGREE, ASKED, COMPLETE, DIFFER, KNOWLEDGE, call_messages, episode_messages, leaders
from recops.agent.prompts import SYSTEM, answer_message, call_message, task_messages, tool_message
from recops.agent.script import Script, scripted_episode
from recops.config.agent import AgentConfig
from recops.records import Call, Episode
from recops.tools.toolbox import TOOLS, Toolbox
from tests.recops.agent.test_experts import CONFIG
from tests.recops.agent.world import AGENT, all_tasks, changed

NEXT = Call("rank_by_next_item", {}, "Order: C A B", failed=False)
LIKE = Call("rank_by_similarity", {}, "Order: C B\nUnknown: A", failed=False)
TAKEN = Call("rank_by_popularity", {"window": "ever"}, "Order: A B C", failed=False)
PLANNING = changed(loop="analyze_plan_act")


def test_react_is_one_thought_and_one_call_a_turn() -> None:
    assert episode_messages("react", [[NEXT, LIKE], [TAKEN]], ["C", "A"], "rank") == [
        call_message("rank_by_next_item", {}),
        tool_message("rank_by_next_item", "Order: C A B"),
        call_message("rank_by_similarity", {}),
        tool_message("rank_by_similarity", "Order: C B\nUnknown: A"),
        call_message("rank_by_popularity", {"window": "ever"}),
        tool_message("rank_by_popularity", "Order: A B C"),
        answer_message(["C", "A"]),
    ]


def test_analyze_plan_act_says_what_is_known_and_missing_plans_and_calls_in_that_order() -> None:
    first, one, other, second, third, answer = episode_messages(
        "analyze_plan_act", [[NEXT, LIKE], [TAKEN]], ["C", "A"], "rank"
    )

    assert first["content"].splitlines() == [
        ASKED,
        "Missing: what follows this history.",
        "Missing: what is like this history.",
        "Plan: rank_by_next_item",
        "Plan: rank_by_similarity",
    ]
    assert [call["function"]["name"] for call in first["tool_calls"]] == ["rank_by_next_item", "rank_by_similarity"]
    assert (one["content"], other["content"], third["content"]) == (NEXT.answer, LIKE.answer, TAKEN.answer)
    assert second["content"].splitlines() == [
        "Known: what follows this history.",
        "Known: what is like this history.",
        AGREE,
        "Missing: what is popular.",
        "Plan: rank_by_popularity",
    ]
    assert answer["content"].splitlines()[-3:] == [DIFFER, COMPLETE, "Answer: C A"]
    assert "tool_calls" not in answer


def test_a_pair_repeats_what_was_asked_before_the_answer() -> None:
    answer = episode_messages("analyze_plan_act", [[NEXT]], ["B"], "less")[-1]["content"]

    assert answer.splitlines()[-3:] == [COMPLETE, "I name the LESS likely one.", "Answer: B"]


def test_only_tools_that_order_have_leaders() -> None:
    forged = Call("analyze_candidates", {}, "Order: B", failed=False)

    assert leaders([NEXT, TAKEN, forged]) == {"C", "A"}
    assert leaders([forged]) == set()


def test_every_tool_tells_something_of_its_own() -> None:
    assert set(KNOWLEDGE) >= set(TOOLS)
    assert len(set(KNOWLEDGE.values())) == len(KNOWLEDGE)


def test_a_tool_of_others_is_called_by_its_name() -> None:
    call = Call("get_weather", {}, "Sun.", failed=False)

    [turn, _] = call_messages("analyze_plan_act", [[call]])

    assert "Missing: get_weather." in turn["content"].splitlines()


def test_the_prompt_asks_for_the_recipes_loop(toolbox: Toolbox) -> None:
    task = all_tasks(toolbox)[0]

    one, other = (task_messages(task, toolbox, agent) for agent in (AGENT, PLANNING))

    assert (one[0]["content"], other[0]["content"]) == (SYSTEM["react"], SYSTEM["analyze_plan_act"])
    assert one[1] == other[1]


@pytest.mark.parametrize("agent", [AGENT, PLANNING])
def test_an_agent_without_tools_is_not_told_to_call_any(toolbox: Toolbox, agent: AgentConfig) -> None:
    system, user = task_messages(all_tasks(toolbox)[0], toolbox, changed(agent, tools=()))

    assert system["content"].endswith("one line: Answer: and letters, best first.")
    assert "tool" not in system["content"].lower()
    assert user == task_messages(all_tasks(toolbox)[0], toolbox, agent)[1]


@pytest.fixture(scope="module")
def script(toolbox: Toolbox) -> Script:
    return fit_script(toolbox, CONFIG, AGENT, seed=1)


def planned(toolbox: Toolbox, script: Script) -> list[Episode]:
    tasks = [*all_tasks(toolbox), *all_tasks(toolbox, "less")]
    return [
        scripted_episode(task, toolbox, PLANNING, np.random.default_rng(number), script=script)
        for number, task in enumerate(tasks)
    ]


def test_the_expert_asks_once_more_only_while_orders_differ(toolbox: Toolbox, script: Script) -> None:
    low, high = script.num_orders
    rounds = set()
    for episode in planned(toolbox, script):
        assert episode.answer.error is None
        turns = [len(one["tool_calls"]) for one in episode.messages if one.get("tool_calls")]
        orders = [call for call in episode.calls if call.tool in ORDERING_TOOLS]
        assert low <= len(orders) <= high
        assert (len(orders) == high) or len(leaders(orders)) < 2
        assert len(leaders(orders[:-1])) > 1 or len(orders) == low
        rounds.add(tuple(turns))
    assert {(2,), (2, 1)} <= rounds


def test_both_loops_make_the_same_calls_to_the_same_tools(toolbox: Toolbox, script: Script) -> None:
    """What differs is what the model writes around its calls: environment, tools and parser are one."""
    task = all_tasks(toolbox)[0]
    fixed = dataclasses.replace(script, num_orders=(3, 3), explore_fraction=0.0, look_fraction=0.0)
    episodes = [
        scripted_episode(task, toolbox, agent, np.random.default_rng(5), script=fixed) for agent in (AGENT, PLANNING)
    ]

    one, other = (json.dumps([[call.tool, call.answer] for call in episode.calls]) for episode in episodes)
    assert one == other
    assert all(parse_answer(episode.messages[-1]["content"], task, AGENT) == episode.answer for episode in episodes)
