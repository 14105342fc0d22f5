"""A real policy plays, MLflow's real store keeps the traces."""

import itertools
import json
import time
from pathlib import Path

import pytest
from mlflow import MlflowClient
from mlflow.entities import Trace as StoredTrace

from recops.agent.times import Times
from recops.agent.traces import episode_trace
from recops.evaluate.agent import player_of, ranking_tasks
from recops.evaluate.episode_times import read_times, write_times
from recops.evaluate.traces import prompts_of
from recops.records import Episode
from recops.retrieval.evidence import Evidence
from recops.tracked_run import tracked_run
from recops.tracking import MlflowTracker, open_client, prepare_store, store_uri
from tests.recops.agent.world import AGENT

BATCH_SIZE = 4


@pytest.fixture(scope="module")
def played(evidence: Evidence, layout) -> tuple[list[Episode], Times, int, int]:
    times: Times = {}
    folder = layout.artefact("ppr_model")
    play = player_of(folder, evidence, AGENT, seed=1, batch_size=BATCH_SIZE, constrain_answers=False, times=times)
    started = time.time_ns()
    episodes = play(ranking_tasks(evidence.store, evidence.store.sample_ids("test")))
    return episodes, times, started, time.time_ns()


def test_times_are_those_of_the_playing_in_order_and_without_overlap(
    played: tuple[list[Episode], Times, int, int],
) -> None:
    episodes, times, started, ended = played
    assert sorted(times) == list(range(len(episodes)))
    for place, episode in enumerate(episodes):
        turns = [message for message in episode.messages if message["role"] == "assistant"]
        assert [len(turn.calls) for turn in times[place]] == [len(turn.get("tool_calls") or ()) for turn in turns]
        spans = [span for turn in times[place] for span in (turn.written, *turn.calls)]
        moments = [started, *itertools.chain(*((span.started_ns, span.ended_ns) for span in spans)), ended]
        assert moments == sorted(moments)
        assert all(turn.written.ended_ns > turn.written.started_ns for turn in times[place])


def test_times_survive_their_file(played: tuple[list[Episode], Times, int, int], tmp_path: Path) -> None:
    _, times, *_ = played
    listed = [times[place] for place in range(len(times))]
    write_times(tmp_path / "times.json", listed)
    assert read_times(tmp_path / "times.json") == listed


@pytest.fixture(scope="module")
def stored(
    played: tuple[list[Episode], Times, int, int], evidence: Evidence, layout, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Path, MlflowTracker, list[StoredTrace]]:
    episodes, times, *_ = played
    prompts = prompts_of(layout.artefact("ppr_model"), evidence, AGENT)
    traces = [
        episode_trace("ppr_model", episode, times[place], prompt=prompts(episode.task), batch_size=BATCH_SIZE, tags={})
        for place, episode in enumerate(episodes)
    ]
    root = tmp_path_factory.mktemp("store")
    with tracked_run(root, experiment="small", name="x", parameters={}, tags={}, resume=None) as tracker:
        tracker.log_traces(traces)
    client, experiment_id = open_client(root), prepare_store(root, "small")
    found = client.search_traces(locations=[experiment_id], run_id=tracker.run_id, max_results=100)
    by_sample = {int(trace.info.tags["sample_id"]): trace for trace in found}
    return root, tracker, [by_sample[episode.task.sample.sample_id] for episode in episodes]


def test_every_episode_is_a_trace_of_the_run_with_its_own_times(
    played: tuple[list[Episode], Times, int, int], stored: tuple[Path, MlflowTracker, list[StoredTrace]]
) -> None:
    episodes, times, *_ = played
    root, tracker, found = stored
    assert (
        len(found)
        == len(episodes)
        == len(MlflowClient(store_uri(root)).search_traces(locations=["1"], max_results=100))
    )
    for place, (episode, trace) in enumerate(zip(episodes, found, strict=True)):
        assert trace.info.trace_metadata["mlflow.sourceRun"] == tracker.run_id
        assert trace.info.request_time == times[place][0].written.started_ns // 1_000_000
        [root_span] = [span for span in trace.data.spans if span.parent_id is None]
        assert (root_span.name, root_span.span_type) == ("ppr_model", "AGENT")
        assert root_span.start_time_ns == times[place][0].written.started_ns
        assert root_span.get_attribute("batch_size") == BATCH_SIZE
        assert f"Up to {BATCH_SIZE} episodes" in root_span.get_attribute("what_times_mean")
        assert (trace.info.state == "ERROR") == (episode.answer.error is not None)


def test_a_span_per_turn_and_per_call_holds_what_was_read_and_written(
    played: tuple[list[Episode], Times, int, int], stored: tuple[Path, MlflowTracker, list[StoredTrace]]
) -> None:
    episodes, times, *_ = played
    assert any(episode.calls for episode in episodes)
    for place, (episode, trace) in enumerate(zip(episodes, stored[2], strict=True)):
        spans = sorted(trace.data.spans, key=lambda span: (span.start_time_ns, span.parent_id is not None))
        tools = [span for span in spans if span.span_type == "TOOL"]
        assert [(span.name, span.inputs, span.outputs) for span in tools] == [
            (call.tool, call.arguments, call.answer) for call in episode.calls
        ]
        models = [span for span in spans if span.span_type == "CHAT_MODEL"]
        assert [(span.start_time_ns, span.end_time_ns) for span in models] == [
            (turn.written.started_ns, turn.written.ended_ns) for turn in times[place]
        ]
        assert models[-1].outputs["content"] == episode.messages[-1]["content"]
        first, *later = [span.inputs["messages"] for span in models]
        assert [message["role"] for message in first] == ["system", "user"]
        before = first
        for read in later:
            assert read[: len(before)] == before
            assert read[-1]["role"] == "tool"
            before = read


def test_the_terms_of_the_reward_are_feedback_of_code(
    played: tuple[list[Episode], Times, int, int], stored: tuple[Path, MlflowTracker, list[StoredTrace]]
) -> None:
    for episode, trace in zip(played[0], stored[2], strict=True):
        told = {one.name: one.feedback.value for one in trace.info.assessments}
        assert told == pytest.approx({**episode.rewards, "reward": episode.reward})
        assert {one.source.source_type for one in trace.info.assessments} == {"CODE"}


def test_a_failed_call_is_an_error_with_its_reason(evidence: Evidence, layout) -> None:
    from recops.tools.toolbox import Toolbox
    from tests.recops.evaluate import small_pipeline

    [task] = ranking_tasks(evidence.store, evidence.store.sample_ids("test")[:1])
    toolbox = Toolbox(evidence, small_pipeline.AGENT)
    environment = small_pipeline.environment_class(toolbox, small_pipeline.AGENT)()
    environment.begin(task)
    message = small_pipeline.call_message("nonsense", {"a": 1})
    episode = environment.finish(
        [message, small_pipeline.tool_message("nonsense", "Tool nonsense not found.")],
        truncated=True,
        num_completion_tokens=5,
    )
    prompts = prompts_of(layout.artefact("ppr_model"), evidence, AGENT)
    times = small_pipeline.turn_times(episode)
    trace = episode_trace("x", episode, times, prompt=prompts(task), batch_size=1, tags={"step": "3"})
    assert (trace.tags["step"], trace.tags["direction"], trace.tags["rank"]) == ("3", "rank", "None")
    [turn, call] = trace.steps
    assert json.loads(turn.outputs["tool_calls"][0]["function"]["arguments"]) == {"a": 1}
    assert (call.name, call.error, trace.whole.error) == ("nonsense", "unknown tool", "unknown_tool")
    assert trace.whole.facts["what_times_mean"] == "Wall clock. The episode was played alone."
