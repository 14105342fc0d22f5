from pathlib import Path

import polars as pl
import pytest

from recops import interrupt
from recops.config.policy import PprConfig, PreferencePairsConfig
from recops.train.models import load_trainable
from recops.train.pairs import run_preference_pairs
from recops.train.ppr import run_ppr
from tests.recops.agent.world import AGENT
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
