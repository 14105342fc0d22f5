import inspect
from typing import Any

import pytest
from transformers.utils.chat_template_utils import get_json_schema

from recops.agent.environment import REPEATED, RecommendationEnvironment, environment_class
from recops.agent.prompts import answer_message, call_message, render_answer, tool_message, tool_schemas
from recops.records import AnswerError, Task, label
from recops.tools.errors import ToolError
from recops.tools.toolbox import TOOLS, Toolbox
from tests.recops.agent.world import AGENT, all_tasks, changed, play_script

RECENT = ("rank_by_popularity", {"window": "recent"})


def started(task: Task, toolbox: Toolbox) -> RecommendationEnvironment:
    environment = environment_class(toolbox, AGENT)()
    environment.reset(sample_id=task.sample.sample_id, candidates=list(task.candidates), direction=task.direction)
    return environment


def gold(task: Task) -> str:
    """The answer that has the right item first."""
    names = [label(place) for place in range(len(task.candidates))]
    first = label(task.candidates.index(task.answer_item))
    ranked = [first, *(name for name in names if name != first)]
    return render_answer(ranked[: AGENT.num_ranked] if task.direction == "rank" else ranked[:1])


@pytest.mark.parametrize("tools", [tuple(TOOLS), ("rank_by_next_item", "get_item_info")])
def test_public_functions_are_reset_and_exactly_the_tools_as_trl_lists_them(
    tools: tuple[str, ...], toolbox: Toolbox
) -> None:
    environment = environment_class(toolbox, changed(tools=tools))()

    members = inspect.getmembers(type(environment), predicate=inspect.isfunction)
    public = [name for name, _ in members if not name.startswith("_") and name != "reset"]

    assert public == sorted(tools)
    assert [get_json_schema(getattr(environment, name)) for name in public] == tool_schemas(changed(tools=tools))


@pytest.mark.parametrize("direction", ["rank", "more", "less"])
def test_the_gold_answer_wins_through_the_whole_environment(direction: Any, toolbox: Toolbox) -> None:
    for task in all_tasks(toolbox, direction):
        assert play_script(task, toolbox, gold(task)).reward == 1.0
        bonus = 0.1 if direction == "rank" else 0.0
        assert play_script(task, toolbox, gold(task), calls=[RECENT]).reward == pytest.approx(1.0 + bonus)


@pytest.mark.parametrize(
    ("answer", "error"),
    [
        ("", AnswerError.NO_ANSWER),
        ("Answer: A A A A", AnswerError.REPEATED_LABEL),
        ("Answer: A B C Q", AnswerError.FOREIGN_LABEL),
        ("Answer: A", AnswerError.WRONG_LENGTH),
    ],
)
def test_degenerate_answers_are_invalid(answer: str, error: AnswerError, toolbox: Toolbox) -> None:
    episode = play_script(all_tasks(toolbox)[0], toolbox, answer, calls=[RECENT])

    assert (episode.answer.error, episode.reward) == (error, -1.0)


def test_the_input_order_does_not_win(toolbox: Toolbox) -> None:
    rewards = [play_script(task, toolbox, render_answer(["A", "B", "C", "D"])).reward for task in all_tasks(toolbox)]

    assert sum(rewards) / len(rewards) < 0.6


def test_a_mistake_of_the_model_is_data_on_the_episode(toolbox: Toolbox) -> None:
    task = all_tasks(toolbox)[0]
    environment = started(task, toolbox)
    with pytest.raises(ToolError):
        environment.get_user_history(limit="x")  # type: ignore[attr-defined]
    messages = [call_message("get_user_history", {"limit": "x"}), tool_message("get_user_history", "{'error': ...}")]

    episode = environment.finish(
        [*messages, {"role": "assistant", "content": gold(task)}], truncated=False, num_completion_tokens=1
    )

    assert (environment.internal_errors, episode.answer.error) == (0, AnswerError.BAD_ARGUMENT)
    assert (episode.calls[0].failed, episode.reward) == (True, -1.0)
    assert "expected 1 to 50" in episode.calls[0].answer


@pytest.mark.parametrize(
    ("function", "error"),
    [
        ({"name": "delete_everything", "arguments": {}}, AnswerError.UNKNOWN_TOOL),
        ({"name": "finish", "arguments": {}}, AnswerError.UNKNOWN_TOOL),
        ({"name": "rank_by_next_item", "arguments": ["A"]}, AnswerError.BAD_ARGUMENT),
    ],
)
def test_a_call_that_reaches_no_tool_is_read_from_the_messages(
    function: dict[str, Any], error: AnswerError, toolbox: Toolbox
) -> None:
    task = all_tasks(toolbox)[0]
    written = {"role": "assistant", "content": "", "tool_calls": [{"type": "function", "function": function}]}
    messages = [written, tool_message(function["name"], "error"), {"role": "assistant", "content": gold(task)}]

    episode = started(task, toolbox).finish(messages, truncated=False, num_completion_tokens=1)

    assert (episode.answer.error, episode.reward, len(episode.calls)) == (error, -1.0, 1)


@pytest.mark.parametrize("name", ["self", "context", "task"])
def test_an_argument_of_any_name_reaches_the_environment(name: str, toolbox: Toolbox) -> None:
    environment = started(all_tasks(toolbox)[0], toolbox)

    with pytest.raises(ToolError, match="expected none"):
        environment.rank_by_next_item(**{name: 1})  # type: ignore[attr-defined]

    assert [call.arguments for call in environment.calls] == [{name: 1}]


def test_one_call_too_many_makes_the_episode_invalid(toolbox: Toolbox) -> None:
    task = all_tasks(toolbox)[0]
    environment = started(task, toolbox)
    messages: list[dict[str, Any]] = []
    for _ in range(AGENT.max_calls):
        messages += [call_message("rank_by_next_item", {}), tool_message("rank_by_next_item", "...")]
        environment.rank_by_next_item()  # type: ignore[attr-defined]
    answer = {"role": "assistant", "content": gold(task)}
    assert environment.finish([*messages, answer], truncated=False, num_completion_tokens=1).answer.error is None

    with pytest.raises(ToolError, match="at most 4"):
        environment.rank_by_next_item()  # type: ignore[attr-defined]
    messages += [call_message("rank_by_next_item", {}), tool_message("rank_by_next_item", "...")]

    episode = environment.finish([*messages, answer], truncated=False, num_completion_tokens=1)
    assert (episode.answer.error, episode.reward) == (AnswerError.TOO_MANY_CALLS, -1.0)


def test_an_episode_that_ran_out_of_tokens_is_truncated(toolbox: Toolbox) -> None:
    task = all_tasks(toolbox)[0]
    answer = {"role": "assistant", "content": gold(task)}
    call = call_message(*RECENT)

    assert started(task, toolbox).finish([answer], truncated=True, num_completion_tokens=9).answer.error == "truncated"
    assert started(task, toolbox).finish([], truncated=False, num_completion_tokens=0).answer.error == "truncated"
    environment = started(task, toolbox)
    environment.rank_by_popularity(window="recent")  # type: ignore[attr-defined]
    assert environment.finish([call], truncated=False, num_completion_tokens=9).answer.error == "truncated"


def test_two_interleaved_episodes_do_not_see_each_other(toolbox: Toolbox) -> None:
    tasks = all_tasks(toolbox)[:2]
    kind = environment_class(toolbox, AGENT)
    environments = [kind(), kind()]
    for environment, task in zip(environments, tasks, strict=True):
        environment.reset(sample_id=task.sample.sample_id, candidates=list(task.candidates), direction="rank")

    texts = [environment.rank_by_next_item() for environment in environments]  # type: ignore[attr-defined]

    assert texts == [toolbox.call(task, "rank_by_next_item", {}) for task in tasks]
    assert [[call.answer for call in environment.calls] for environment in environments] == [[text] for text in texts]


def test_a_reused_environment_remembers_nothing(toolbox: Toolbox) -> None:
    first, second = all_tasks(toolbox)[:2]
    environment = started(first, toolbox)
    environment.rank_by_next_item()  # type: ignore[attr-defined]

    environment.reset(
        sample_id=second.sample.sample_id, candidates=list(second.candidates), direction="rank", prompt=[], other=1
    )

    assert (environment.task, environment.calls, environment.internal_errors) == (second, [], 0)


def test_a_mistake_of_ours_is_counted_and_stops_the_episode(toolbox: Toolbox, monkeypatch: pytest.MonkeyPatch) -> None:
    task = all_tasks(toolbox)[0]
    environment = environment_class(Toolbox(toolbox.evidence, AGENT), AGENT)()
    environment.reset(sample_id=task.sample.sample_id, candidates=list(task.candidates), direction="rank")
    monkeypatch.setattr(type(toolbox.evidence), "next_item", lambda *_: 1 / 0)

    with pytest.raises(ZeroDivisionError):
        environment.rank_by_next_item()  # type: ignore[attr-defined]

    assert environment.internal_errors == 1
    with pytest.raises(RuntimeError, match="1 internal error"):
        environment.finish([answer_message(["A"])], truncated=False, num_completion_tokens=1)


def test_a_repeated_call_is_answered_in_few_words(toolbox: Toolbox) -> None:
    environment = started(all_tasks(toolbox)[0], toolbox)
    first: Any = environment

    answer = first.rank_by_popularity(window="recent")

    assert first.rank_by_popularity(window="ever") != REPEATED
    assert first.rank_by_popularity(window="recent") == REPEATED != answer
    assert len(environment.calls) == 3
