import dataclasses
import json
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recops.agent.episode_filter import rejection
from recops.agent.expert_tasks import draw_tasks
from recops.agent.experts import fit_script, run_expert_episodes
from recops.agent.fusion import read_order, sources_of
from recops.agent.local_policy import LocalPolicy
from recops.agent.prompts import task_messages, tool_schemas
from recops.agent.script import Script, scripted_episode
from recops.artifacts import read_json, write_manifest
from recops.config.endpoint import EndpointConfig
from recops.config.policy import EndpointExpertConfig, ExpertEpisodesConfig
from recops.errors import InputError
from recops.paths import Layout
from recops.records import Answer, AnswerError, Call, Episode, Task
from recops.stage_io import StageIO
from recops.tools.habits import read_habits
from recops.tools.toolbox import Toolbox
from recops.train.models import save_policy
from tests.recops.agent.chat_server import Response, chat_server, completion
from tests.recops.agent.world import AGENT, alike, all_tasks, changed, write_world
from tests.recops.evaluate.small_pipeline import RecordingTracker

CONFIG = ExpertEpisodesConfig(
    num_scripted=30, num_self_played=20, pair_fraction=0.4, min_orders=2, max_orders=3, explore_fraction=0.3,
    look_fraction=0.3, keep_target_in_top=3, keep_max_calls=4,
    keep_max_similarity=None, keep_max_tool_set_fraction=None, temperature=1.0, batch_size=8, constrain_answers=False,
    endpoint=None, file=None,
)  # fmt: skip

TOLD = changed(profile_parts=("habits",))
"""An agent that can ask for a user's habits."""


@pytest.fixture(scope="module")
def script(toolbox: Toolbox) -> Script:
    return fit_script(toolbox, CONFIG, AGENT, seed=1)


def episodes(toolbox: Toolbox, script: Script, tasks: list[Task]) -> list[Episode]:
    return [
        scripted_episode(task, toolbox, AGENT, np.random.default_rng(number), script=script)
        for number, task in enumerate(tasks)
    ]


@pytest.mark.parametrize("direction", ["rank", "more", "less"])
def test_scripted_episodes_are_valid(direction: str, toolbox: Toolbox, script: Script) -> None:
    ordering = {source.tool for source in sources_of(AGENT)}
    for episode in episodes(toolbox, script, all_tasks(toolbox, direction)):  # type: ignore[arg-type]
        assert episode.answer.error is None
        assert len({str(call) for call in episode.calls}) == len(episode.calls) <= AGENT.max_calls
        orders = [call for call in episode.calls if call.tool in ordering]
        assert CONFIG.min_orders <= len(orders) <= CONFIG.max_orders


@pytest.mark.parametrize("loop", ["react", "analyze_plan_act"])
@pytest.mark.parametrize("direction", ["rank", "more"])
def test_without_tools_the_script_answers_in_a_random_order(toolbox: Toolbox, loop: str, direction: Any) -> None:
    agent = changed(tools=(), loop=loop)
    alone = Toolbox(toolbox.evidence, agent)
    script = fit_script(alone, CONFIG.model_copy(update={"min_orders": 0, "max_orders": 0}), agent, seed=1)
    task = all_tasks(alone, direction)[0]
    played = [
        scripted_episode(task, alone, agent, np.random.default_rng(number), script=script) for number in range(40)
    ]
    assert {(one.answer.error, one.calls, len(one.messages)) for one in played} == {(None, (), 1)}
    assert {one.answer.ranking[0] for one in played} == set(task.candidates)


def test_the_script_never_looks_at_the_target(toolbox: Toolbox, script: Script) -> None:
    tasks = all_tasks(toolbox)
    shown = [episode.messages for episode in episodes(toolbox, script, tasks)]

    others = [next(item for item in task.candidates if item != task.sample.target) for task in tasks]
    blind = [alike(task, target=other) for task, other in zip(tasks, others, strict=True)]

    fresh = Toolbox(toolbox.evidence, AGENT)
    assert [episode.messages for episode in episodes(fresh, script, blind)] == shown


@pytest.mark.parametrize("loop", ["react", "analyze_plan_act"])
def test_without_exploring_the_profile_is_asked_first_and_then_what_its_habits_call_for(
    toolbox: Toolbox, loop: str
) -> None:
    agent = changed(TOLD, loop=loop)
    toolbox = Toolbox(toolbox.evidence, agent)
    fitted = fit_script(toolbox, CONFIG, agent, seed=1)
    fixed = dataclasses.replace(fitted, num_orders=(2, 2), explore_fraction=0.0, look_fraction=0.0)
    ranking = fitted.ranking
    for number, task in enumerate(all_tasks(toolbox)):
        episode = scripted_episode(task, toolbox, agent, np.random.default_rng(number), script=fixed)
        profile, *orders = episode.calls
        assert profile.tool == "get_user_profile"
        plan = ranking.plan(2, tuple(read_habits(profile.answer).values()))
        sources = [ranking.sources[place] for place in plan]
        assert [(one.tool, one.arguments) for one in orders] == [(one.tool, one.arguments) for one in sources]
        scores = ranking.scores([read_order(call.answer, 6) for call in orders])
        ranked = [task.candidates.index(item) for item in episode.answer.ranking]
        assert np.all(np.diff(scores[ranked]) <= 1e-9)


def test_without_habits_everybody_is_asked_the_same(toolbox: Toolbox, script: Script) -> None:
    fixed = dataclasses.replace(script, num_orders=(2, 2), explore_fraction=0.0, look_fraction=0.0)
    played = episodes(toolbox, fixed, all_tasks(toolbox))

    [asked] = {tuple((call.tool, *call.arguments.values()) for call in episode.calls) for episode in played}
    assert asked == tuple((one.tool, *one.arguments.values()) for one in
                          (script.ranking.sources[place] for place in script.ranking.plan(2, ())))  # fmt: skip


def test_looking_and_exploring_bring_other_tools(toolbox: Toolbox, script: Script) -> None:
    curious = dataclasses.replace(script, explore_fraction=1.0, look_fraction=1.0)

    tools = {call.tool for one in episodes(toolbox, curious, all_tasks(toolbox) * 3) for call in one.calls}

    assert tools == set(AGENT.tools) - {"search_catalog"}


def test_tasks_use_every_sample_and_balance_directions_and_sides(toolbox: Toolbox) -> None:
    ids = toolbox.store.sample_ids("policy_train")
    tasks = draw_tasks(toolbox.store, ids, count=8 * len(ids), pair_fraction=0.5, seed=3)

    pairs = [task for task in tasks if task.direction != "rank"]
    assert {task.sample.sample_id for task in tasks[: len(ids)]} == set(ids.tolist())
    assert len(pairs) == 4 * len(ids)
    sides = Counter((task.direction, task.candidates.index(task.answer_item)) for task in pairs)
    assert set(sides.values()) == {len(ids)}
    assert draw_tasks(toolbox.store, ids, count=0, pair_fraction=0.5, seed=3) == []


def test_the_filter_says_why(toolbox: Toolbox) -> None:
    task, pair = all_tasks(toolbox)[0], all_tasks(toolbox, "less")[0]
    others = tuple(item for item in task.candidates if item != task.sample.target)
    call = Call("rank_by_next_item", {}, "Order: A", failed=False)
    good = Episode(task, (), (call,), Answer((task.sample.target, *others[:3]), None), {}, 10)

    def reason(**values: object) -> str | None:
        changed_episode = dataclasses.replace(good, **values)  # type: ignore[arg-type]
        return rejection(changed_episode, keep_target_in_top=2, max_calls=2, max_tokens=10)

    assert reason() is None
    assert reason(answer=Answer((), AnswerError.TRUNCATED)) == "truncated"
    assert reason(num_completion_tokens=11) == "too_long"
    assert reason(calls=()) == "no_call"
    assert rejection(dataclasses.replace(good, calls=()), keep_target_in_top=2, max_calls=0, max_tokens=10) is None
    assert reason(calls=(call,) * 3) == "over_call_budget"
    assert reason(answer=Answer((*others[:2], task.sample.target, others[2]), None)) == "target_too_low"
    assert reason(answer=Answer(others[:4], None)) == "target_too_low"
    assert reason(task=pair, answer=Answer((pair.answer_item,), None)) is None
    assert reason(task=pair, answer=Answer((pair.sample.target,), None)) == "wrong_of_two"


def stage(root: Path, policy: LocalPolicy) -> StageIO:
    layout = Layout(root, "small")
    folders = write_world(root / "world")
    for name, folder in zip(("validated_splits", "sasrec_embeddings"), folders, strict=True):
        target = layout.artefact(name)  # type: ignore[arg-type]
        target.parent.mkdir(parents=True, exist_ok=True)
        folder.rename(target)
    base = layout.artefact("base_policy")
    base.mkdir(parents=True)
    save_policy(policy.model, policy.tokenizer, base, max_new_tokens=AGENT.max_completion_tokens)
    write_manifest(base, {})
    out = root / "out"
    out.mkdir()
    return StageIO("expert_episodes", layout, out, root / "checkpoints", RecordingTracker())  # type: ignore[arg-type]


def test_the_stage_writes_episodes_that_can_be_trained_on_and_counts_the_others(
    tmp_path: Path, policy: LocalPolicy, toolbox: Toolbox
) -> None:
    report = run_expert_episodes(stage(tmp_path / "a", policy), CONFIG, seed=1, agent=AGENT)

    out = tmp_path / "a" / "out"
    rows = pl.read_parquet(out / "episodes.parquet")
    assert Counter(rows["source"].to_list()) == Counter({name: count for name, count in report.kept.items() if count})
    assert report.played == {"scripted": 30, "self": 20}
    for source, played in report.played.items():
        assert report.kept[source] + sum(report.rejected[source].values()) == played
    assert read_json(out / "rejected.json") == report.rejected
    assert read_json(out / "tools.json") == tool_schemas(AGENT)
    assert set(rows["direction"]) > {"rank"}
    assert set(rows["sample_id"]) <= set(toolbox.store.sample_ids("policy_train").tolist())
    first = rows.filter(pl.col("direction") == "rank").row(0, named=True)
    messages = json.loads(first["messages"])
    sample = toolbox.store.sample(first["sample_id"])
    assert messages[:2] == task_messages(Task(sample, sample.candidates, "rank"), toolbox, AGENT)
    assert messages[-1]["content"].splitlines()[-1].startswith("Answer: ")
    ids = policy.tokenizer.apply_chat_template(messages, tools=tool_schemas(AGENT), tokenize=True, return_dict=False)
    assert len(ids) > first["num_completion_tokens"] > 20
    assert set(report.ndcg) > {"scripted", "rank_by_popularity/recent"}

    again = run_expert_episodes(stage(tmp_path / "b", policy), CONFIG, seed=1, agent=AGENT)

    assert again == report
    files = ("episodes.parquet", "rejected.json", "tools.json", "fusion.json")
    assert all((out / name).read_bytes() == (tmp_path / "b" / "out" / name).read_bytes() for name in files)


def test_a_stronger_model_teaches_through_its_endpoint(tmp_path: Path, policy: LocalPolicy) -> None:
    """It asks for one order and copies it; now and then it says nothing, or its server does."""

    def answer(body: dict[str, Any], _: int) -> Response:
        last, chance = body["messages"][-1], body["seed"] % 5
        if chance == 0:
            return Response(503, "loading")
        if last["role"] == "tool":
            named = " ".join(last["content"].replace("Order:", "").replace("Unknown:", "").split())
            count = AGENT.num_ranked if "Rank the" in body["messages"][1]["content"] else 1
            return completion(f"I know enough.\nAnswer: {' '.join(named.split()[:count])}")
        return completion("I do not know.") if chance == 1 else completion("", ("rank_by_next_item", "{}"))

    with chat_server(answer) as server:
        settings = EndpointConfig(
            url=server.url, model="m", api_key_variable=None, control_tokens=(), timeout_seconds=5.0, max_retries=0,
            backoff_seconds=0.01, concurrency=4, max_failed_fraction=0.6,
        )  # fmt: skip
        teacher = EndpointExpertConfig(num_episodes=30, temperature=0.0, server=settings)
        config = CONFIG.model_copy(update={"num_scripted": 0, "num_self_played": 0, "endpoint": teacher})
        report = run_expert_episodes(stage(tmp_path, policy), config, seed=1, agent=AGENT)

    rejected = report.rejected["endpoint"]
    assert report.played["endpoint"] == 30
    assert report.kept["endpoint"] + sum(rejected.values()) == 30
    assert {"endpoint_failed", "no_answer"} < set(rejected)
    rows = pl.read_parquet(tmp_path / "out" / "episodes.parquet")
    assert set(rows["source"]) == {"endpoint"}
    for row in rows.iter_rows(named=True):
        [call] = [call for message in json.loads(row["messages"]) for call in message.get("tool_calls") or ()]
        assert call["function"]["name"] == "rank_by_next_item"
        assert row["num_completion_tokens"] > 10, "in tokens of the policy that is to learn"


def test_a_stage_that_keeps_nothing_fails(tmp_path: Path, policy: LocalPolicy) -> None:
    short = changed(max_completion_tokens=16)

    with pytest.raises(InputError, match="keep_target_in_top"):
        run_expert_episodes(stage(tmp_path, policy), CONFIG, seed=1, agent=short)

    assert not list((tmp_path / "out").iterdir())


def test_more_orders_than_tools_are_refused(toolbox: Toolbox) -> None:
    few = changed(tools=("rank_by_next_item", "rank_by_similarity"))

    with pytest.raises(InputError, match="max_orders: found 3; expected at most 2"):
        fit_script(Toolbox(toolbox.evidence, few), CONFIG, few, seed=1)
