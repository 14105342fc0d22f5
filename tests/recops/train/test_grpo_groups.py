"""What a step of GRPO does with its groups: who is in them, what their advantages are, which of them count."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor
from transformers import TrainerCallback

from recops.agent.local_policy import LocalPolicy
from recops.config.policy import AdvantageRule, GrpoConfig
from recops.records import Task
from recops.tools.toolbox import Toolbox
from recops.train.grpo import build_trainer
from recops.train.models import load_trainable
from tests.recops.agent.world import AGENT, all_tasks
from tests.recops.train.scripted_loop import Played, always, follow
from tests.recops.train.small import GRPO

OWN = GRPO.model_copy(update={"tool_loop": "recops"})
GROUP = OWN.group_size
DROPPING = OWN.model_copy(update={"drop_negative_groups": True})
WITH_KL = DROPPING.model_copy(update={"beta": 0.2})

GOOD, MIXED, NEGATIVE = (1.0, 0.0, 0.5, 0.5), (0.2, -0.5, -0.5, -0.4), (-1.0, -0.5, -1.0, -0.2)


def _trainer(policy: LocalPolicy, toolbox: Toolbox, folder: Path, config: GrpoConfig) -> Any:
    trainer = build_trainer(
        policy.model, policy.tokenizer, all_tasks(toolbox), toolbox, config, folder=folder, seed=1, agent=AGENT
    )
    trainer.current_gradient_accumulation_steps = 1
    return trainer


def _group(rewards: Sequence[float], *, seed: int, longest: int) -> list[Played]:
    """One group of random tokens, of several lengths; about a third of them are a tool's."""
    generator = np.random.default_rng(seed)
    lengths = [longest, *generator.integers(3, longest, size=len(rewards) - 1).tolist()]
    return [
        Played(
            generator.integers(10, 300, size=length).tolist(),
            [1, *(generator.random(length - 1) < 0.7).astype(int).tolist()],
            reward,
        )
        for length, reward in zip(lengths, rewards, strict=True)
    ]


FIRST, SECOND = _group(GOOD, seed=1, longest=8), _group(MIXED, seed=2, longest=11)
LOST = _group(NEGATIVE, seed=3, longest=15)


def _step(trainer: Any, monkeypatch: pytest.MonkeyPatch, groups: Sequence[list[Played]]) -> dict[str, Any]:
    """Score one step of given groups, as the trainer does before its loss."""
    follow(monkeypatch, always([played for group in groups for played in group]))
    trainer.model.train()
    rows = [trainer.train_dataset[place] for place in range(len(groups)) for _ in range(GROUP)]
    output: dict[str, Any] = trainer._generate_and_score_completions(rows)
    return output


def _gradient(trainer: Any, output: dict[str, Any]) -> Tensor:
    trainer.model.zero_grad()
    trainer._compute_loss(trainer.model, output).backward()
    return torch.cat([one.grad.flatten() for _, one in sorted(trainer.model.named_parameters())])


def _move(trainer: Any) -> None:
    """Take the policy away from the reference that a KL term holds it to, so that there is something to hold."""
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for parameter in trainer.model.parameters():
            parameter.add_(0.05 * torch.randn(parameter.shape, generator=generator))


def _num_written(groups: Sequence[list[Played]]) -> int:
    return sum(sum(played.is_models) for group in groups for played in group)


@pytest.mark.parametrize("config", [DROPPING, WITH_KL], ids=["no_kl", "kl"])
def test_a_dropped_group_is_as_if_it_had_not_been_played(
    policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: GrpoConfig
) -> None:
    trainer = _trainer(policy, toolbox, tmp_path, config)
    _move(trainer)
    without = _step(trainer, monkeypatch, [FIRST, SECOND])
    expected = _gradient(trainer, without)
    with_it = _step(trainer, monkeypatch, [FIRST, LOST, SECOND])
    assert int(with_it["num_items_in_batch"]) == int(without["num_items_in_batch"]) == _num_written([FIRST, SECOND])
    assert expected.norm() > 0.01
    assert torch.allclose(_gradient(trainer, with_it), expected, rtol=1e-3, atol=1e-5 * float(expected.norm()))


def test_without_the_rule_an_all_negative_group_counts(
    policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = _trainer(policy, toolbox, tmp_path, OWN)
    output = _step(trainer, monkeypatch, [FIRST, LOST])
    assert int(output["num_items_in_batch"]) == _num_written([FIRST, LOST])
    assert output["advantages"][GROUP:].tolist() == pytest.approx([-0.325, 0.175, -0.325, 0.475])


def test_a_step_whose_groups_are_all_dropped_pulls_nowhere_with_a_kl_term_either(
    policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trainer = _trainer(policy, toolbox, tmp_path, WITH_KL)
    _move(trainer)
    output = _step(trainer, monkeypatch, [LOST, LOST])
    assert _gradient(trainer, output).abs().max() == 0


@pytest.mark.parametrize(
    ("rule", "expected"),
    [
        ("mean", [0.5, -0.5, 0.0, 0.0]),
        ("leave_one_out", [2 / 3, -2 / 3, 0.0, 0.0]),
        ("standardized", [1.2247, -1.2247, 0.0, 0.0]),
    ],
)
def test_the_rule_of_the_recipe_is_that_of_the_loss(
    policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, rule: AdvantageRule,
    expected: list[float],
) -> None:  # fmt: skip
    trainer = _trainer(policy, toolbox, tmp_path, OWN.model_copy(update={"advantage": rule}))
    advantages = _step(trainer, monkeypatch, [SECOND, FIRST])["advantages"]
    assert advantages[GROUP:].tolist() == pytest.approx(expected, abs=1e-3)


@pytest.mark.parametrize("micro_batch", [64, 4])
def test_groups_are_consecutive_rows_of_one_sample_and_no_sample_comes_twice_in_an_epoch(
    policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, micro_batch: int
) -> None:
    monkeypatch.setattr("recops.train.models.MICRO_BATCH", micro_batch)
    asked: list[list[int]] = []

    def script(tasks: Sequence[Task]) -> list[Played]:
        asked.append([task.sample.sample_id for task in tasks])
        return [played for _ in range(len(tasks) // GROUP) for played in FIRST]

    follow(monkeypatch, script)
    steps = len(all_tasks(toolbox)) // OWN.samples_per_step
    config = OWN.model_copy(update={"steps": steps, "checkpoint_steps": 100})
    _trainer(policy, toolbox, tmp_path, config).train()
    groups = np.asarray(asked).reshape(steps * OWN.samples_per_step, GROUP)
    assert (groups == groups[:, :1]).all()
    assert len(set(groups[:, 0])) == len(groups)


class _Gradient(TrainerCallback):
    """Keeps the gradient that an optimizer step is made of."""

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, model: Any = None, **_: Any) -> None:
        self.value = torch.cat([one.grad.flatten() for _, one in sorted(model.named_parameters())])


@pytest.mark.parametrize("config", [DROPPING, WITH_KL], ids=["no_kl", "kl"])
def test_one_pass_of_eight_episodes_has_the_gradient_of_eight_passes_of_one(
    policy_folder: Path, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, config: GrpoConfig
) -> None:
    config = config.model_copy(update={"samples_per_step": 2, "steps": 1, "checkpoint_steps": 100})
    follow(monkeypatch, always([*LOST, *FIRST]))
    gradients, norms = [], []
    for largest in (8, 1):
        monkeypatch.setattr("recops.train.models.MICRO_BATCH", largest)
        trainer = _trainer(LocalPolicy(*load_trainable(policy_folder)), toolbox, tmp_path / str(largest), config)
        assert trainer.args.gradient_accumulation_steps == 8 // largest
        _move(trainer)
        trainer.add_callback(kept := _Gradient())
        trainer.train()
        gradients.append(kept.value)
        norms += [entry["grad_norm"] for entry in trainer.state.log_history if "grad_norm" in entry]
    assert norms[0] == pytest.approx(norms[1], rel=1e-4)
    assert torch.allclose(gradients[0], gradients[1], rtol=1e-3, atol=1e-5)
