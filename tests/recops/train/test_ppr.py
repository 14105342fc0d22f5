from pathlib import Path

import polars as pl

from recops.config.policy import PprConfig, PreferencePairsConfig
from recops.train.models import load_trainable
from recops.train.pairs import run_preference_pairs
from recops.train.ppr import run_ppr
from tests.recops.agent.world import AGENT
from tests.recops.train.small import GRPO, LORA, StubIO

PPR = PprConfig(
    **GRPO.model_dump(exclude={"lora", "tool_loop", "steps"}),
    lora=LORA,
    tool_loop="recops",
    steps=2,
    ranking_fraction=0.5,
)


def test_violations_are_mined_and_refined_on(policy_folder: Path, folders: tuple[Path, Path], tmp_path: Path) -> None:
    inputs = {"grpo_model": policy_folder, "validated_splits": folders[0], "sasrec_embeddings": folders[1]}
    mined = StubIO(tmp_path / "pairs", "preference_pairs", inputs)
    config = PreferencePairsConfig(num_samples=40, batch_size=16, constrain_answers=False)
    found = run_preference_pairs(mined, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert found.pairs == len(pl.read_parquet(mined.out / "pairs.parquet")) > 1
    io = StubIO(tmp_path / "ppr", "ppr_model", {**inputs, "preference_pairs": mined.out})
    report = run_ppr(io, PPR, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert report.pairs + report.held_out_pairs == found.pairs
    assert report.ranking_tasks == 2 * report.pairs
    assert report.chance.both == 0.25
    assert (io.out / "adapter").is_dir()
    assert load_trainable(io.out)[1].chat_template
    assert {"preference", "reward"} <= {name for _, numbers in io.logged for name in numbers}
