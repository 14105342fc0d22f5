"""Episodes of training as traces: which, when they are told, and what they say."""

from dataclasses import replace
from pathlib import Path

import pandas as pd
import pytest

from recops.agent.local_policy import LocalPolicy
from recops.agent.rewards import TERMS
from recops.agent.rollout import play
from recops.tools.toolbox import Toolbox
from recops.traces import Step, Trace
from recops.tracked_run import tracked_run
from recops.tracking import open_client, prepare_store
from recops.train.episode_traces import TABLE, best_and_worst, traced_steps
from recops.train.grpo import train_on_tasks
from recops.train.models import load_trainable
from tests.recops.agent.world import AGENT, all_tasks
from tests.recops.train.small import GRPO, StubIO

STEPS = 3


class StoppedIO(StubIO):
    """Its store of numbers fails at the last step, after that step's episodes were played."""

    def log_metrics(self, metrics: dict[str, float], *, step: int | None) -> None:
        if step == STEPS:
            raise ConnectionError("the store is gone")
        super().log_metrics(metrics, step=step)


def train(policy_folder: Path, toolbox: Toolbox, io: StubIO, loop: str) -> None:
    config = GRPO.model_copy(update={"tool_loop": loop, "steps": STEPS, "checkpoint_steps": 2})
    policy = LocalPolicy(*load_trainable(policy_folder))
    train_on_tasks(io, config, all_tasks(toolbox), policy, toolbox, seed=1, agent=AGENT)  # type: ignore[arg-type]


@pytest.mark.parametrize("loop", ["trl", "recops"])
def test_the_best_and_the_worst_of_a_group_are_told_once_also_after_an_interruption(
    policy_folder: Path, toolbox: Toolbox, tmp_path: Path, loop: str
) -> None:
    stopped = StoppedIO(tmp_path, "grpo_model")
    with pytest.raises(ConnectionError):
        train(policy_folder, toolbox, stopped, loop)
    assert {trace.tags["step"] for trace in stopped.traces} == {"1", "2"}, "the third step will be played again"
    stopped.out.rmdir()
    resumed = StubIO(tmp_path, "grpo_model")
    train(policy_folder, toolbox, resumed, loop)
    assert {trace.tags["step"] for trace in resumed.traces} == {"3"}
    for step in ("1", "2", "3"):
        told = [trace for trace in (*stopped.traces, *resumed.traces) if trace.tags["step"] == step]
        rewards = [trace.feedback["reward"] for trace in told]
        assert 1 <= len(told) <= 2
        assert len({trace.tags["sample_id"] for trace in told}) == 1, "of one group"
        assert len(set(rewards)) == len(rewards)
        for trace in told:
            check(trace)


def check(trace: Trace) -> None:
    """What was read and written hangs together, and in time one step follows the other."""
    assert (trace.whole.name, trace.whole.kind, trace.tags["direction"]) == ("grpo_model", "AGENT", "rank")
    assert [message["role"] for message in trace.whole.inputs["messages"]] == ["system", "user"]
    assert trace.whole.facts["batch_size"] == GRPO.samples_per_step * GRPO.group_size
    assert trace.feedback["reward"] == pytest.approx(sum(trace.feedback.values()) - trace.feedback["reward"])
    turns = [step for step in trace.steps if step.kind == "CHAT_MODEL"]
    assert turns
    assert turns[0].inputs["messages"] == trace.whole.inputs["messages"]
    assert sum(len(turn.outputs.get("tool_calls") or ()) for turn in turns) == len(trace.steps) - len(turns)
    assert in_order(trace.whole.started_ns, trace.steps) <= trace.whole.ended_ns
    assert trace.whole.ended_ns > trace.whole.started_ns


def in_order(moment: int, steps: tuple[Step, ...]) -> int:
    for step in steps:
        assert moment <= step.started_ns <= step.ended_ns
        moment = step.ended_ns
    return moment


def test_steps_are_spread_from_the_first_to_the_last() -> None:
    assert traced_steps(100) == [1, 25, 50, 75, 100]
    assert traced_steps(3) == [1, 2, 3]
    assert traced_steps(1) == [1]


def test_a_group_of_equal_rewards_has_one_example(policy_folder: Path, toolbox: Toolbox) -> None:
    [episode] = play(
        LocalPolicy.load(policy_folder), all_tasks(toolbox)[:1], toolbox, AGENT, temperature=0.0, seed=1, batch_size=1
    )
    better, worse = (replace(episode, rewards={"ndcg": value}) for value in (0.5, -1.0))
    assert best_and_worst([episode, episode]) == [0]
    assert best_and_worst([replace(better, rewards={"ndcg": 0.2}), better, worse, better]) == [1, 2]


@pytest.mark.parametrize("loop", ["trl", "recops"])
def test_sampled_episodes_are_one_table_of_the_run_also_after_an_interruption(
    policy_folder: Path, toolbox: Toolbox, tmp_path: Path, loop: str
) -> None:
    io, root = StoppedIO(tmp_path, "grpo_model"), tmp_path / "store"
    with tracked_run(root, experiment="small", name="x", parameters={}, tags={}, resume=None) as tracker:
        io.log_table = tracker.log_table  # type: ignore[method-assign]
        with pytest.raises(ConnectionError):
            train(policy_folder, toolbox, io, loop)
        io.out.rmdir()
        resumed = StubIO(tmp_path, "grpo_model")
        resumed.tracker = tracker
        train(policy_folder, toolbox, resumed, loop)
    client, experiment_id = open_client(root), prepare_store(root, "small")
    table = pd.read_json(client.download_artifacts(tracker.run_id, TABLE), orient="split")
    assert TABLE in client.get_run(tracker.run_id).data.tags["mlflow.loggedArtifacts"], "what its pages draw as a table"
    traces = client.search_traces(locations=[experiment_id], run_id=tracker.run_id, max_results=100)
    played = {task.sample.sample_id for task in all_tasks(toolbox)}
    assert table["step"].drop_duplicates().tolist() == [1, 2, 3]
    assert (table.groupby("step").size() <= 2).all()
    of_last = [trace for trace in traces if trace.info.tags["step"] == "3"]
    assert len(of_last) == len(table[table["step"] == 3]), "beside the traces"
    for row in table.to_dict("records"):
        terms = [value for name, value in row.items() if name.startswith(TERMS)]
        assert row["reward"] == pytest.approx(sum(terms))
        assert len(terms) == 6
        assert row["text"].startswith("[system]\n")
        assert row["text"].count("\n-> ") == len(row["calls"].split(", ") if row["calls"] else [])
        assert row["answer"].strip() in row["text"].rpartition("[assistant]")[2]
        assert row["sample_id"] in played
    assert any(row["calls"] and "[tool]\n" in row["text"] for row in table.to_dict("records"))
