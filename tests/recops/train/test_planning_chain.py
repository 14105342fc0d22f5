"""Every stage that trains or plays the agent, in the loop `analyze_plan_act`, one after the other on a small shop."""

import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recops.agent.experts import run_expert_episodes
from recops.agent.local_policy import LocalPolicy
from recops.agent.loops import ASKED
from recops.agent.rollout import play, rollouts
from recops.artifacts import write_manifest
from recops.config.policy import EmbeddedPolicyConfig, PreferencePairsConfig
from recops.records import Episode
from recops.tools.toolbox import Toolbox
from recops.train.embedded import run_base_policy
from recops.train.grpo import run_grpo
from recops.train.pairs import run_preference_pairs
from recops.train.ppr import run_ppr
from recops.train.sft import run_sft
from tests.recops.agent.test_experts import CONFIG
from tests.recops.agent.test_rollout import naive, play_in_trl
from tests.recops.agent.world import all_tasks, changed, load_toolbox, write_world
from tests.recops.train.small import GRPO, SFT, StubIO
from tests.recops.train.test_ppr import PPR

pytestmark = pytest.mark.slow

AGENT = changed(loop="analyze_plan_act", num_ranked=1, max_completion_tokens=160)
BASE = EmbeddedPolicyConfig(
    kind="embedded", width=32, num_layers=1, num_heads=2, rope_theta=10000.0, vocabulary_size=1024, drill_steps=1,
    orders=(1, 2, 3), episode_steps=90, drill_batch_size=8, episode_batch_size=16, learning_rate=0.01,
    checkpoint_steps=100,
)  # fmt: skip
EXPERTS = CONFIG.model_copy(
    update={"num_scripted": 60, "num_self_played": 4, "explore_fraction": 0.0, "look_fraction": 0.1,
            "keep_target_in_top": 1}
)  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """The small shop with targets at every place: one that is always C would be learned and nothing else."""
    splits, sasrec = write_world(tmp_path_factory.mktemp("world"))
    samples = pl.read_parquet(splits / "samples.parquet")
    turned = [row[place % 6 :] + row[: place % 6] for place, row in enumerate(samples["candidates"].to_list())]
    samples.with_columns(pl.Series("candidates", turned, pl.List(pl.Int32))).write_parquet(splits / "samples.parquet")
    write_manifest(splits, {})
    return splits, sasrec


@pytest.fixture(scope="module")
def toolbox(folders: tuple[Path, Path]) -> Toolbox:
    return load_toolbox(folders, AGENT)


@pytest.fixture(scope="module")
def chain(folders: tuple[Path, Path], toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    root = tmp_path_factory.mktemp("chain")
    made = {"validated_splits": folders[0], "sasrec_embeddings": folders[1], "raw_data": root / "raw_data"}
    made["raw_data"].mkdir()
    toolbox.store.items.write_parquet(made["raw_data"] / "items.parquet")
    stages: list[tuple[str, Any, Any]] = [
        ("base_policy", run_base_policy, BASE),
        ("expert_episodes", run_expert_episodes, EXPERTS),
        ("sft_checkpoint", run_sft, SFT.model_copy(update={"steps": 60, "batch_size": 16, "checkpoint_steps": 100})),
        ("grpo_model", run_grpo, GRPO.model_copy(update={"learning_rate": 1e-4})),
        (
            "preference_pairs",
            run_preference_pairs,
            PreferencePairsConfig(num_samples=40, batch_size=16, constrain_answers=False),
        ),
        ("ppr_model", run_ppr, PPR.model_copy(update={"learning_rate": 1e-4})),
    ]
    for name, function, config in stages:
        io = StubIO(root / name, name, made)
        function(io, config, seed=1, agent=AGENT)
        made[name] = io.out
    return made


def test_expert_episodes_and_their_tokens_are_in_the_form(chain: dict[str, Path]) -> None:
    rows = pl.read_parquet(chain["expert_episodes"] / "episodes.parquet").filter(source="scripted")
    policy = LocalPolicy.load(chain["base_policy"])
    for text in rows["messages"]:
        turns = [one for one in json.loads(text) if one["role"] == "assistant"]
        assert turns[0]["content"].startswith(f"{ASKED}\nMissing: ")
        for turn in turns[:-1]:
            plan = [line.removeprefix("Plan: ") for line in turn["content"].splitlines() if line.startswith("Plan: ")]
            assert plan == [call["function"]["name"] for call in turn["tool_calls"]]
    line = policy.tokenizer("Missing: what follows this history.\n", add_special_tokens=False)["input_ids"]
    assert len(line) == 1, "each word of a fixed phrase costs a token: the line must be one"


def test_every_trained_policy_plans_and_calls_as_planned(chain: dict[str, Path], toolbox: Toolbox) -> None:
    for name in ("sft_checkpoint", "grpo_model", "ppr_model"):
        policy = LocalPolicy.load(chain[name])
        episodes = play(policy, all_tasks(toolbox), toolbox, AGENT, temperature=0.0, seed=1, batch_size=16)
        assert any(one.answer.error is None for one in episodes), name
        assert any(_as_planned(one) for one in episodes), name


def _as_planned(episode: Episode) -> bool:
    turns = [message for message in episode.messages if message["role"] == "assistant"]
    planned = [line[6:] for turn in turns for line in turn["content"].splitlines() if line.startswith("Plan: ")]
    return bool(planned) and planned == [call.tool for call in episode.calls]


def test_turns_with_several_calls_are_played_alike_by_both_loops_and_the_naive_one(
    chain: dict[str, Path], toolbox: Toolbox, tmp_path: Path
) -> None:
    policy = LocalPolicy.load(chain["sft_checkpoint"])
    tasks = [*all_tasks(toolbox)[:6], *all_tasks(toolbox, "more")[:2]]

    in_trl, tokens = play_in_trl(policy, tasks, toolbox, AGENT, tmp_path)

    played = rollouts(policy, tasks, toolbox, AGENT, temperature=0, seed=1, batch_size=3)
    assert any(len(one.get("tool_calls") or ()) > 1 for rollout in played for one in rollout.episode.messages)
    assert {rollout.episode.task: rollout.episode for rollout in played} == in_trl
    assert {rollout.episode.task: rollout.completion_ids for rollout in played} == tokens
    assert [rollout.episode for rollout in played] == [naive(policy, task, toolbox, AGENT) for task in tasks]
