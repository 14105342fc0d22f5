import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from recops.agent.local_policy import LocalPolicy
from recops.agent.rollout import play
from recops.config.policy import GrpoConfig, LoraConfig
from recops.tools.toolbox import Toolbox
from recops.train.grpo import GrpoReport, build_trainer, run_grpo, train_on_tasks
from recops.train.models import load_trainable
from tests.recops.agent.world import AGENT, all_tasks
from tests.recops.train.scripted_loop import Played, follow
from tests.recops.train.small import GRPO, LORA, RANDOM_LORA, StubIO, files, weights


def _trainer(policy: LocalPolicy, toolbox: Toolbox, folder: Path, config: GrpoConfig = GRPO) -> Any:
    return build_trainer(
        policy.model, policy.tokenizer, all_tasks(toolbox), toolbox, config, folder=folder, seed=1, agent=AGENT
    )


def _step(trainer: Any, rows: list[int]) -> dict[str, Any]:
    """Play and score one step on given rows, each `group_size` times, as the trainer's sampler would."""
    trainer.model.train()
    inputs = [trainer.train_dataset[row] for row in rows for _ in range(GRPO.group_size)]
    output: dict[str, Any] = trainer._generate_and_score_completions(inputs)
    return output


@pytest.mark.parametrize("loop", ["trl", "recops"])
def test_what_tools_answered_carries_no_loss(policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path, loop: str) -> None:
    trainer = _trainer(policy, toolbox, tmp_path, GRPO.model_copy(update={"tool_loop": loop}))
    output = _step(trainer, [0, 1, 2, 3])
    mask = output["completion_mask"] * output["tool_mask"]
    learned = [policy.tokenizer.decode(ids[on.bool()]) for ids, on in zip(output["completion_ids"], mask, strict=True)]
    masked = [
        policy.tokenizer.decode(ids[(1 - on).bool()]) for ids, on in zip(output["completion_ids"], mask, strict=True)
    ]
    assert any("Order:" in text for text in masked)
    assert not any("<tool_response>" in text or "Order:" in text for text in learned)
    assert any("<tool_call>" in text for text in learned)


@pytest.mark.parametrize("loop", ["trl", "recops"])
def test_groups_hold_one_sample_each_and_advantages_sum_to_zero(
    policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path, loop: str
) -> None:
    trainer = _trainer(policy, toolbox, tmp_path, GRPO.model_copy(update={"tool_loop": loop}))
    output = _step(trainer, [0, 1, 2])
    episodes = trainer.reward_funcs[0].episodes
    groups = np.asarray([episode.task.sample.sample_id for episode in episodes]).reshape(-1, GRPO.group_size)
    assert (groups == groups[:, :1]).all()
    rewards = torch.tensor([episode.reward for episode in episodes]).view(-1, GRPO.group_size)
    expected = rewards - rewards.mean(dim=1, keepdim=True)
    assert torch.allclose(output["advantages"].view(-1, GRPO.group_size), expected)


def test_a_masked_token_does_not_move_the_loss(policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path) -> None:
    trainer = _trainer(policy, toolbox, tmp_path)
    trainer.current_gradient_accumulation_steps = 1
    output = _step(trainer, [0, 1])
    output["advantages"] = torch.ones_like(output["advantages"])
    trainer._compute_loss(trainer.model, output).backward()
    assert any(parameter.grad.abs().sum() > 0 for parameter in trainer.model.parameters())
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, {**output, "tool_mask": torch.zeros_like(output["tool_mask"])}).backward()
    assert all(parameter.grad.abs().sum() == 0 for parameter in trainer.model.parameters())


def test_no_prompt_names_the_target(policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path) -> None:
    row = _trainer(policy, toolbox, tmp_path).train_dataset[0]
    assert set(row) == {"prompt", "sample_id", "candidates", "direction"}
    target = toolbox.store.sample(row["sample_id"]).target
    title = str(toolbox.store.items["title"][target - 1])
    assert all(title not in message["content"] for message in row["prompt"])


def test_both_tool_loops_play_the_same_greedy_episodes(policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path) -> None:
    trainer = _trainer(policy, toolbox, tmp_path)
    trainer.generation_config.do_sample = False
    trainer.generation_kwargs["do_sample"] = False
    _step(trainer, list(range(6)))
    theirs = trainer.reward_funcs[0].episodes[:: GRPO.group_size]
    ours = play(policy, [episode.task for episode in theirs], toolbox, AGENT, temperature=0.0, seed=1, batch_size=4)
    assert any(episode.calls for episode in ours)
    assert [episode.messages for episode in ours] == [episode.messages for episode in theirs]
    assert [episode.rewards for episode in ours] == [episode.rewards for episode in theirs]


@pytest.mark.parametrize(("loop", "lora"), [("trl", None), ("recops", None), ("recops", RANDOM_LORA)])
def test_a_resumed_training_ends_with_the_bytes_of_an_uninterrupted_one(
    policy_folder: Path, toolbox: Toolbox, tmp_path: Path, loop: str, lora: LoraConfig | None
) -> None:
    config = GRPO.model_copy(update={"tool_loop": loop, "lora": lora, "steps": 3})
    whole, first = StubIO(tmp_path / "whole", "grpo_model"), StubIO(tmp_path / "first", "grpo_model")
    report = _train(policy_folder, toolbox, whole, config)
    _train(policy_folder, toolbox, first, config)
    [cut] = (first.checkpoints / "checkpoint-3").glob("*model.safetensors")
    cut.write_bytes(cut.read_bytes()[:-1])
    shutil.rmtree(first.out)
    first.out.mkdir()
    assert _train(policy_folder, toolbox, first, config) == report
    assert (first.checkpoints / "damaged-checkpoint-3").is_dir()
    assert [step for step, numbers in first.logged if "loss" in numbers] == [1, 2, 3, 3]
    assert files(first.out) == files(whole.out)


def _train(policy_folder: Path, toolbox: Toolbox, io: StubIO, config: GrpoConfig) -> GrpoReport:
    policy = LocalPolicy(*load_trainable(policy_folder))
    return train_on_tasks(io, config, all_tasks(toolbox), policy, toolbox, seed=1, agent=AGENT)  # type: ignore[arg-type]


def _stage(policy_folder: Path, folders: tuple[Path, Path], root: Path) -> StubIO:
    inputs = {"sft_checkpoint": policy_folder, "validated_splits": folders[0], "sasrec_embeddings": folders[1]}
    return StubIO(root, "grpo_model", inputs)


@pytest.mark.parametrize("lora", [None, LORA])
def test_the_stage_trains_logs_and_saves(
    policy_folder: Path, folders: tuple[Path, Path], tmp_path: Path, lora: Any
) -> None:
    io = _stage(policy_folder, folders, tmp_path)
    report = run_grpo(io, GRPO.model_copy(update={"lora": lora}), seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert not torch.equal(weights(load_trainable(io.out)[0]), weights(load_trainable(policy_folder)[0]))
    assert (io.out / "adapter").is_dir() == (lora is not None)
    assert report.episodes == 2 * 16
    names = {name for _, numbers in io.logged for name in numbers}
    wanted = {"reward", "ndcg", "invalid_share", "calls", "entropy", "learning_rate", "tokens"}
    assert wanted | {"groups/dropped", "groups/zero_variance"} <= names


def test_a_tool_that_fails_by_our_mistake_stops_the_stage(
    policy_folder: Path, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*_: Any) -> str:
        raise KeyError("ours")

    monkeypatch.setattr(toolbox, "call", broken)
    with pytest.raises(RuntimeError, match="internal error"):
        _train(policy_folder, toolbox, StubIO(tmp_path, "grpo_model"), GRPO)


def test_groups_of_equal_rewards_move_nothing_and_no_policy_is_saved(
    policy_folder: Path, folders: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    follow(monkeypatch, lambda tasks: [Played([20, 30 + place], [1, 1], 0.5) for place in range(len(tasks))])
    io = _stage(policy_folder, folders, tmp_path)
    with pytest.raises(RuntimeError, match="grpo_model: no weight changed in 2 steps; every reward may have been"):
        run_grpo(io, GRPO.model_copy(update={"tool_loop": "recops"}), seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert not files(io.out)


@pytest.mark.parametrize(
    ("loop", "learning_rate", "said"),
    [
        ("recops", 1e15, "step 2: loss is nan; lower the learning rate"),
        ("recops", 1e30, "step 1: the norm of the weights is inf; lower the learning rate"),
        ("trl", 1e30, "the norm of the weights is inf; lower the learning rate"),
    ],
)
def test_a_learning_rate_that_breaks_the_weights_is_said_and_no_policy_is_saved(
    policy_folder: Path, folders: tuple[Path, Path], tmp_path: Path, loop: str, learning_rate: float, said: str
) -> None:
    io = _stage(policy_folder, folders, tmp_path)
    config = GRPO.model_copy(update={"tool_loop": loop, "learning_rate": learning_rate})
    with pytest.raises(FloatingPointError, match=said):
        run_grpo(io, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert not files(io.out)
