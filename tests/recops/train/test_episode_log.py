"""What a training says of each step: every number at every step, under one name, and terms that make up the reward."""

from pathlib import Path

import polars as pl
import pytest

from recops.agent.local_policy import LocalPolicy
from recops.agent.prompts import render_answer
from recops.agent.rewards import TERMS
from recops.config.policy import GrpoConfig
from recops.records import AnswerError, Call, Task, label
from recops.tools.toolbox import Toolbox
from recops.train.episode_log import episode_metrics
from recops.train.grpo import train_on_tasks
from recops.train.models import load_trainable
from recops.train.step_speed import SPEED
from tests.recops.agent.world import AGENT, all_tasks, play_script
from tests.recops.train.scripted_loop import Played, follow
from tests.recops.train.small import GRPO, StubIO

OWN = GRPO.model_copy(update={"tool_loop": "recops", "steps": 2, "checkpoint_steps": 2})


def train(policy_folder: Path, toolbox: Toolbox, io: StubIO, config: GrpoConfig, tasks: list[Task]) -> None:
    policy = LocalPolicy(*load_trainable(policy_folder))
    train_on_tasks(io, config, tasks, policy, toolbox, seed=1, agent=AGENT)  # type: ignore[arg-type]


def steps(io: StubIO) -> list[dict[str, float]]:
    """What was logged at each step of the training, in their order."""
    numbers: dict[int, dict[str, float]] = {}
    for step, values in io.logged:
        if step is not None:
            numbers.setdefault(step, {}).update(values)
    return [numbers[step] for step in range(1, OWN.steps + 1)]


def curve(io: StubIO) -> dict[str, list[int]]:
    """The steps at which each name stands in the artefact."""
    frame = pl.read_parquet(io.out / "curve.parquet").group_by("name", maintain_order=True).agg("step")
    return dict(frame.iter_rows())


@pytest.mark.parametrize("loop", ["trl", "recops"])
def test_the_terms_sum_to_the_reward_of_every_step_with_pairs_among_the_lists_too(
    policy_folder: Path, toolbox: Toolbox, tmp_path: Path, loop: str
) -> None:
    io = StubIO(tmp_path, "ppr_model")
    lists, pairs = all_tasks(toolbox), all_tasks(toolbox, "more")
    mixed = [task for both in zip(lists, pairs, strict=True) for task in both]
    train(policy_folder, toolbox, io, OWN.model_copy(update={"tool_loop": loop}), mixed)
    for numbers in steps(io):
        terms = {name: value for name, value in numbers.items() if name.startswith(TERMS)}
        assert sum(terms.values()) == pytest.approx(numbers["reward"], abs=1e-5)
        assert {"terms/ndcg", "terms/preference", "terms/invalid"} <= set(terms)
    assert any(0 < numbers["terms/ndcg"] < numbers["ndcg"] for numbers in steps(io)), "of all episodes, and of lists"


def test_a_term_and_a_share_of_one_name_do_not_hide_each_other(toolbox: Toolbox) -> None:
    right, wrong = (all_tasks(toolbox)[0], all_tasks(toolbox)[1])
    order = [right.sample.target, *(item for item in right.candidates if item != right.sample.target)]
    said = render_answer([label(right.candidates.index(item)) for item in order[: AGENT.num_ranked]])
    episodes = [play_script(right, toolbox, said), play_script(wrong, toolbox, "nothing")]
    numbers = episode_metrics(episodes, 2, AGENT.tools)
    assert (numbers["invalid_share"], numbers["invalid_share/no_answer"], numbers["terms/invalid"]) == (0.5, 0.5, -0.5)
    assert sum(value for name, value in numbers.items() if name.startswith(TERMS)) == pytest.approx(0.0)


def test_what_did_not_happen_is_logged_as_zero_and_at_every_step(
    policy_folder: Path, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    first = AGENT.tools[0]
    call = Call(first, {}, "ok", failed=False)
    made_up = Call('no "tool"; drop', {}, "unknown tool", failed=True)
    eventful = [
        Played([20, 21, 22], [1, 1, 1], 1.0, calls=(call, call)),
        Played([23, 24, 25], [1, 0, 1], -1.0, calls=(made_up,), error=AnswerError.UNKNOWN_TOOL),
        Played([26, 27, 28], [1, 1, 1], -1.0, error=AnswerError.TRUNCATED),
        Played([29, 30, 31], [1, 1, 1], 0.0),
    ]
    quiet = [Played([20 + place, 21, 22], [1, 1, 1], float(place)) for place in range(4)]
    groups = iter([quiet, eventful])
    follow(monkeypatch, lambda tasks: next(groups) * (len(tasks) // 4))
    io = StubIO(tmp_path, "grpo_model")
    train(policy_folder, toolbox, io, OWN, all_tasks(toolbox))
    before, after = steps(io)
    assert set(before) == set(after)
    everything = {f"calls/{tool}" for tool in AGENT.tools} | {f"invalid_share/{reason}" for reason in AnswerError}
    everything |= {"calls", "calls/unknown_tool", "failed_calls", "invalid_share", "entropy", "learning_rate"}
    everything |= {"groups/dropped", "groups/zero_variance", "tokens", "reward"}
    assert everything <= set(before)
    assert all(before[name] == 0 for name in everything if name.startswith(("calls", "failed_calls", "invalid_share")))
    wanted = {"calls": 0.75, f"calls/{first}": 0.5, "calls/unknown_tool": 0.25, "failed_calls": 0.25}
    wanted |= {"invalid_share": 0.5, "invalid_share/truncated": 0.25, "invalid_share/unknown_tool": 0.25}
    assert {name: after[name] for name in wanted} == pytest.approx(wanted)
    assert sum(value for name, value in after.items() if name.startswith("calls/")) == pytest.approx(after["calls"])
    assert all(curve(io)[name] == [1, 2] for name in everything)


@pytest.mark.parametrize("loop", ["trl", "recops"])
def test_the_speed_of_every_step_is_in_mlflow_and_in_no_artefact(
    policy_folder: Path, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, loop: str
) -> None:
    moments = iter([10.0, 14.0, 20.0, 20.5])
    monkeypatch.setattr("recops.train.step_speed.perf_counter", lambda: next(moments))
    io = StubIO(tmp_path, "grpo_model")
    config = OWN.model_copy(update={"tool_loop": loop})
    train(policy_folder, toolbox, io, config, all_tasks(toolbox))
    written = [numbers["tokens"] * config.samples_per_step * config.group_size for numbers in steps(io)]
    assert [numbers[SPEED] for numbers in steps(io)] == pytest.approx([written[0] / 4.0, written[1] / 0.5])
    assert written[0] > 0
    assert not any("second" in name or "time" in name for name in curve(io))
