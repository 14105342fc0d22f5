import json
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recops.agent.endpoint_client import EndpointClient, EndpointError, wire_messages
from recops.agent.endpoint_policy import EndpointPolicy
from recops.agent.local_policy import LocalPolicy
from recops.agent.prompts import call_message, task_messages, tool_message
from recops.agent.rollout import play
from recops.config.endpoint import EndpointConfig
from recops.errors import InputError
from recops.records import AnswerError, Episode, Task
from recops.tools.toolbox import Toolbox
from recops.train.models import save_policy
from tests.recops.agent.chat_server import ChatServer, Response, chat_server, completion
from tests.recops.agent.served_policy import served_policy
from tests.recops.agent.world import AGENT, all_tasks, changed

GOOD = completion("I know enough.\nAnswer: A B C D")
CONFIG = EndpointConfig(
    url="", model="m", api_key_variable=None, control_tokens=(), timeout_seconds=5.0, max_retries=2,
    backoff_seconds=0.01, concurrency=4, max_failed_fraction=0.0,
)  # fmt: skip


def config(server: ChatServer, **values: Any) -> EndpointConfig:
    return CONFIG.model_copy(update={"url": server.url, **values})


def played(settings: EndpointConfig, tasks: list[Task], toolbox: Toolbox, **agent: Any) -> list[Episode]:
    return play(
        EndpointPolicy(settings), tasks, toolbox, changed(**agent), temperature=0.0, seed=1, batch_size=8
    )  # fmt: skip


def turn(settings: EndpointConfig, *messages: dict[str, Any]) -> Any:
    asked = messages or ({"role": "user", "content": "Rank."},)
    return EndpointClient(settings).turn(asked, [], temperature=0.0, max_tokens=9, seed=3)


def test_calls_are_made_and_the_answer_is_scored(toolbox: Toolbox) -> None:
    def answer(body: dict[str, Any], _: int) -> Response:
        if body["messages"][-1]["role"] == "user":
            return completion("I ask.", ("rank_by_popularity", '{"window": "ever"}'), finish="tool_calls")
        return GOOD

    task = all_tasks(toolbox)[0]
    with chat_server(answer) as server:
        [episode] = played(config(server), [task], toolbox)

    assert [(call.tool, call.arguments, call.failed) for call in episode.calls] == [
        ("rank_by_popularity", {"window": "ever"}, False)
    ]
    assert episode.answer.ranking == task.candidates[:4]
    assert episode.num_completion_tokens == 14
    first, second = server.asked
    assert first["messages"] == task_messages(task, toolbox, AGENT)
    assert {one["function"]["name"] for one in first["tools"]} == set(AGENT.tools)
    assert (first["temperature"], first["max_completion_tokens"], first["model"]) == (0.0, 96, "m")
    assert second["max_completion_tokens"] == 96 - 7
    call, answered = second["messages"][-2:]
    assert json.loads(call["tool_calls"][0]["function"]["arguments"]) == {"window": "ever"}
    assert answered["tool_call_id"] == call["tool_calls"][0]["id"]
    assert answered["content"] == episode.calls[0].answer


def test_an_answer_of_every_call_finds_its_call() -> None:
    both = call_message("get_item_info", {"candidate": "A"})
    both["tool_calls"] = both["tool_calls"] * 2
    wired = wire_messages([both, tool_message("get_item_info", "x"), tool_message("get_item_info", "y")])

    ids = [call["id"] for call in wired[0]["tool_calls"]]
    assert len(set(ids)) == 2
    assert [message["tool_call_id"] for message in wired[1:]] == ids


@pytest.mark.parametrize(
    "bad",
    [
        Response(429, "slow down", {"Retry-After": "0"}),
        Response(503, "loading"),
        Response(200, "<html>not what you want</html>"),
        Response(200, '{"choices": []}'),
        Response(200, '{"choices": [{"message": "hello"}]}'),
        Response(200, '{"choices": [{"message": {"tool_calls": [{"function": {"name": 3}}]}}]}'),
    ],
)
def test_what_may_pass_is_asked_again(bad: Response) -> None:
    with chat_server(lambda _, number: bad if number < 2 else GOOD) as server:
        assert turn(config(server)).message["content"] == "I know enough.\nAnswer: A B C D"
    assert len(server.asked) == 3
    assert server.asked[0] == server.asked[2]


def test_waits_grow_and_a_server_may_ask_for_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    waits: list[float] = []
    monkeypatch.setattr("recops.agent.endpoint_client.time.sleep", waits.append)

    def failing(_: dict[str, Any], number: int) -> Response:
        return Response(429, "", {"Retry-After": "3"} if number == 2 else {"Retry-After": "900"} if number == 3 else {})

    with chat_server(failing) as server, pytest.raises(EndpointError, match=r"status 429.*5 tries"):
        turn(config(server, max_retries=4, backoff_seconds=0.5))

    assert waits == [0.5, 1.0, 3.0, CONFIG.timeout_seconds]


def test_a_time_out_is_asked_again() -> None:
    slow = Response(200, "{}", delay_seconds=0.6)
    with chat_server(lambda _, number: slow if number == 0 else GOOD) as server:
        assert turn(config(server, timeout_seconds=0.2)).num_tokens == 7


def test_nobody_listening_is_a_failure_with_its_reason() -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/v1"
    with pytest.raises(EndpointError, match="ConnectionError"):
        turn(CONFIG.model_copy(update={"url": url}))


def test_a_refused_conversation_is_not_asked_again() -> None:
    with (
        chat_server(lambda *_: Response(400, "context of 9,000 tokens")) as server,
        pytest.raises(EndpointError, match="status 400: context of 9,000 tokens"),
    ):
        turn(config(server))
    assert len(server.asked) == 1


@pytest.mark.parametrize("status", [401, 403, 404])
def test_a_wrong_key_model_or_address_stops_at_once(status: int, toolbox: Toolbox) -> None:
    with (
        chat_server(lambda *_: Response(status, "no")) as server,
        pytest.raises(InputError, match=f"status {status}: no.*api_key_variable"),
    ):
        played(config(server, max_failed_fraction=1.0), all_tasks(toolbox)[:1], toolbox)


def test_failed_episodes_are_marked_and_too_many_stop_the_stage(toolbox: Toolbox) -> None:
    tasks = all_tasks(toolbox)[:10]
    unlucky = task_messages(tasks[3], toolbox, AGENT)[-1]["content"]

    def answer(body: dict[str, Any], _: int) -> Response:
        return Response(500, "broken") if body["messages"][-1]["content"] == unlucky else GOOD

    hit = [place for place, task in enumerate(tasks) if task_messages(task, toolbox, AGENT)[-1]["content"] == unlucky]
    with chat_server(answer) as server:
        episodes = played(config(server, max_failed_fraction=len(hit) / 10), tasks, toolbox)
        with pytest.raises(InputError, match=r"of 10 episodes without an answer, .*status 500: broken \(3 tries"):
            played(config(server, max_failed_fraction=(len(hit) - 1) / 10), tasks, toolbox)

    assert [episode.task for episode in episodes] == tasks
    assert [n for n, one in enumerate(episodes) if one.answer.error == AnswerError.ENDPOINT_FAILED] == hit
    assert all(episodes[place].reward == AGENT.reward.invalid for place in hit)
    assert sum(one.answer.error is None for one in episodes) == 10 - len(hit)


def test_mistakes_of_the_model_are_answered_not_raised(toolbox: Toolbox) -> None:
    wrong = iter([("rank_by_magic", "{}"), ("rank_by_next_item", "{not json"), ("rank_by_next_item", "[1]")])

    def answer(body: dict[str, Any], number: int) -> Response:
        return GOOD if number == 3 else completion("", next(wrong), finish="tool_calls")

    with chat_server(answer) as server:
        [episode] = played(config(server), all_tasks(toolbox)[:1], toolbox)

    assert episode.answer.error == AnswerError.UNKNOWN_TOOL
    assert [call.failed for call in episode.calls] == [True, True, True]
    assert all(json.loads(call["function"]["arguments"]) == {} for message in server.asked[-1]["messages"]
               for call in message.get("tool_calls", ()))  # fmt: skip


def test_calls_without_end_stop_at_the_budget_and_too_many_tokens_truncate(toolbox: Toolbox) -> None:
    def calls(*_: Any) -> Response:
        return completion("", ("rank_by_next_item", "{}"), tokens=0)

    with chat_server(calls) as server:
        [endless] = played(config(server), all_tasks(toolbox)[:1], toolbox)
    assert (endless.answer.error, len(endless.calls)) == (AnswerError.TOO_MANY_CALLS, AGENT.max_calls + 1)

    with chat_server(lambda *_: completion("I think", finish="length")) as server:
        [cut] = played(config(server), all_tasks(toolbox)[:1], toolbox)
    assert cut.answer.error == AnswerError.TRUNCATED


def test_the_key_comes_from_the_environment(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RECOPS_TEST_KEY", raising=False)
    with chat_server(lambda *_: GOOD) as server:
        settings = config(server, api_key_variable="RECOPS_TEST_KEY")
        with pytest.raises(InputError, match="RECOPS_TEST_KEY, which is not set"):
            turn(settings)
        monkeypatch.setenv("RECOPS_TEST_KEY", "secret")
        turn(settings)
    assert server.headers[0]["Authorization"] == "Bearer secret"


def test_what_an_endpoint_cannot_do_is_refused(toolbox: Toolbox) -> None:
    with pytest.raises(InputError, match=r"found file:///etc; expected an address with http"):
        EndpointClient(CONFIG.model_copy(update={"url": "file:///etc"}))
    with chat_server(lambda *_: GOOD) as server, pytest.raises(InputError, match="constrain_answers"):
        play(EndpointPolicy(config(server)), all_tasks(toolbox)[:1], toolbox, AGENT,
             temperature=0.0, seed=1, batch_size=1, constrain_answers=True)  # fmt: skip
    with chat_server(lambda *_: GOOD) as server, pytest.raises(InputError, match=r"\[INST\] may pass"):
        played(config(server, control_tokens=("[INST]",)), all_tasks(toolbox)[:1], toolbox)


@pytest.fixture(scope="module")
def served(policy: LocalPolicy, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[str, Path]]:
    folder = tmp_path_factory.mktemp("served")
    save_policy(policy.model, policy.tokenizer, folder, max_new_tokens=AGENT.max_completion_tokens)
    with served_policy(folder) as url:
        yield url, folder


@pytest.mark.slow
def test_transformers_serve_plays_the_policy_that_it_serves(
    served: tuple[str, Path], policy: LocalPolicy, toolbox: Toolbox
) -> None:
    url, folder = served
    tasks = all_tasks(toolbox)[:6]
    settings = CONFIG.model_copy(update={"url": url, "model": str(folder), "timeout_seconds": 60.0, "concurrency": 2})

    episodes = played(settings, tasks, toolbox)

    local = play(policy, tasks, toolbox, AGENT, temperature=0.0, seed=1, batch_size=6)
    assert [episode.messages[0] for episode in episodes] == [episode.messages[0] for episode in local]
    assert any(episode.calls and not episode.calls[0].failed for episode in episodes)
    assert all(episode.answer.error != AnswerError.ENDPOINT_FAILED for episode in episodes)
    assert all(episode.num_completion_tokens > 0 for episode in episodes)
