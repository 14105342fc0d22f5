from collections.abc import Sequence
from pathlib import Path

import polars as pl
import pytest

from recops import interrupt
from recops.agent.policy import Sampling
from recops.agent.prompts import render_answer
from recops.config.agent import AgentConfig
from recops.config.policy import PprConfig, PreferencePairsConfig
from recops.records import Episode, Task
from recops.tools.toolbox import Toolbox
from recops.train.models import load_trainable
from recops.train.pairs import run_preference_pairs
from recops.train.ppr import pair_accuracy, pair_tasks, run_ppr
from tests.recops.agent.world import AGENT, all_tasks, play_script
from tests.recops.train.small import GRPO, LORA, RANDOM_LORA, StubIO, files

PPR = PprConfig(
    **GRPO.model_dump(exclude={"lora", "tool_loop", "steps"}),
    lora=LORA,
    tool_loop="recops",
    steps=2,
    ranking_fraction=0.5,
)


@pytest.fixture
def inputs(policy_folder: Path, folders: tuple[Path, Path]) -> dict[str, Path]:
    return {"grpo_model": policy_folder, "validated_splits": folders[0], "sasrec_embeddings": folders[1]}


def _mined(root: Path, inputs: dict[str, Path]) -> tuple[dict[str, Path], int]:
    """Mine pairs; return the inputs with them, and how many there are."""
    mined = StubIO(root, "preference_pairs", inputs)
    config = PreferencePairsConfig(num_samples=40, batch_size=16, constrain_answers=False)
    report = run_preference_pairs(mined, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    return {**inputs, "preference_pairs": mined.out}, report.pairs


def test_violations_are_mined_and_refined_on(inputs: dict[str, Path], tmp_path: Path) -> None:
    inputs, num_pairs = _mined(tmp_path / "pairs", inputs)
    assert num_pairs == len(pl.read_parquet(inputs["preference_pairs"] / "pairs.parquet")) > 1
    io = StubIO(tmp_path / "ppr", "ppr_model", inputs)
    report = run_ppr(io, PPR, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert report.pairs + report.held_out_pairs == num_pairs
    assert report.ranking_tasks == 2 * report.pairs
    assert report.chance.both == 0.25
    assert (io.out / "adapter").is_dir()
    assert load_trainable(io.out)[1].chat_template
    assert {"preference", "reward"} <= {name for _, numbers in io.logged for name in numbers}


def test_an_interrupted_training_resumes_to_the_same_bytes(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    inputs, _ = _mined(tmp_path / "pairs", inputs)
    config = PPR.model_copy(update={"lora": RANDOM_LORA, "steps": 3, "checkpoint_steps": 10})
    whole = StubIO(tmp_path / "whole", "ppr_model", inputs)
    report = run_ppr(whole, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    cut = StubIO(tmp_path / "cut", "ppr_model", inputs)
    monkeypatch.setattr(interrupt, "requested", lambda: len(cut.logged) >= 1)
    with pytest.raises(interrupt.Interrupted):
        run_ppr(cut, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert [path.name for path in cut.checkpoints.glob("checkpoint-*")] == ["checkpoint-2"]
    assert not files(cut.out)
    monkeypatch.setattr(interrupt, "requested", lambda: False)
    assert run_ppr(cut, config, seed=1, agent=AGENT) == report  # type: ignore[arg-type]
    assert [step for step, numbers in cut.logged if "loss" in numbers] == [1, 2, 3]
    assert files(cut.out) == files(whole.out)


class _Answers:
    """A policy that answers each task with a label that the test chose, in the order of the tasks."""

    control_tokens: tuple[str, ...] = ()

    def __init__(self, answers: Sequence[str]) -> None:
        self._answers = answers

    def count_tokens(self, text: str) -> int:
        return len(text)

    def episodes(self, tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig, _: Sampling) -> list[Episode]:
        return [play_script(task, toolbox, one, agent=agent) for task, one in zip(tasks, self._answers, strict=True)]


def test_pair_accuracy_counts_each_direction_and_pairs_that_are_right_in_both(toolbox: Toolbox) -> None:
    samples = all_tasks(toolbox)[:5]
    others = [next(item for item in task.candidates if item != task.sample.target) for task in samples]
    rows = [(task.sample.sample_id, task.sample.target, other) for task, other in zip(samples, others, strict=True)]
    tasks = pair_tasks(toolbox, pl.DataFrame(rows, schema=["sample_id", "target", "violator"], orient="row"), seed=1)
    right = [render_answer(["AB"[task.candidates.index(task.answer_item)]]) for task in tasks]
    wrong = [render_answer(["BA"[task.candidates.index(task.answer_item)]]) for task in tasks]
    # Pairs in rows, MORE and LESS in columns: one is right in both, two in MORE alone, one in LESS alone.
    is_right = [True, True, True, False, True, False, False, True, False, False]
    answers = [yes if good else no for good, yes, no in zip(is_right, right, wrong, strict=True)]
    answers[-1] = "an answer that names nobody"
    accuracy = pair_accuracy(_Answers(answers), tasks, toolbox, AGENT, seed=1)
    assert (accuracy.more, accuracy.less, accuracy.both) == pytest.approx((0.6, 0.4, 0.2))
