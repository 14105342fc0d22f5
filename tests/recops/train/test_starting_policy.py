"""How far a policy has come from the one that its training began with: measured, and felt by nothing."""

from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from recops.agent.local_policy import LocalPolicy
from recops.config.policy import GrpoConfig
from recops.tools.toolbox import Toolbox
from recops.train.grpo import build_trainer, train_on_tasks
from recops.train.models import load_trainable, make_trainable
from recops.train.starting_policy import StartingPolicy, divergence
from tests.recops.agent.world import AGENT, all_tasks
from tests.recops.train.scripted_loop import Played, always, follow
from tests.recops.train.small import GRPO, LORA, RANDOM_LORA, StubIO, files, weights

OWN = GRPO.model_copy(update={"tool_loop": "recops", "temperature": 0.7})
ONE_STEP = OWN.model_copy(update={"steps": 1, "samples_per_step": 2, "checkpoint_steps": 100})


def _group(ids: list[int], is_models: list[int]) -> list[Played]:
    """Episodes of equal words: what is measured on one of them holds for the group."""
    return [Played(ids, is_models, float(place)) for place in range(OWN.group_size)]


GROUPS = [*_group([20, 40, 60, 30], [1, 1, 0, 1]), *_group([50, 70, 21, 22, 23, 24, 25], [1, 0, 0, 1, 1, 1, 1])]


def _logged(policy_folder: Path, toolbox: Toolbox, folder: Path, config: GrpoConfig) -> float:
    """The `kl` of one step of a policy that has moved away from its start."""
    policy = LocalPolicy(*load_trainable(policy_folder))
    model = make_trainable(policy.model, config.lora, 1)
    trainer: Any = build_trainer(
        model, policy.tokenizer, all_tasks(toolbox), toolbox, config, folder=folder, seed=1, agent=AGENT
    )
    generator = torch.Generator().manual_seed(5)
    with torch.no_grad():
        for _, one in sorted(trainer.model.named_parameters()):
            if one.requires_grad:
                one.add_(0.05 * torch.randn(one.shape, generator=generator))
    trainer.train()
    [kl] = [entry["kl"] for entry in trainer.state.log_history if "kl" in entry]
    return float(kl)


@pytest.mark.parametrize("lora", [None, LORA], ids=["full", "lora"])
def test_without_a_kl_term_the_same_divergence_is_logged_as_with_one_over_however_many_passes(
    policy_folder: Path, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: Any
) -> None:
    follow(monkeypatch, always(GROUPS))
    config = ONE_STEP.model_copy(update={"lora": lora})
    of_trl = _logged(policy_folder, toolbox, tmp_path / "trl", config.model_copy(update={"beta": 0.2}))
    assert of_trl > 1e-3
    for largest in (64, 1):
        monkeypatch.setattr("recops.train.models.MICRO_BATCH", largest)
        ours = _logged(policy_folder, toolbox, tmp_path / str(largest), config)
        assert ours == pytest.approx(of_trl, rel=1e-4)


def _train(policy_folder: Path, toolbox: Toolbox, io: StubIO, config: GrpoConfig) -> None:
    policy = LocalPolicy(*load_trainable(policy_folder))
    train_on_tasks(io, config, all_tasks(toolbox), policy, toolbox, seed=1, agent=AGENT)  # type: ignore[arg-type]


@pytest.mark.parametrize("lora", [None, RANDOM_LORA], ids=["full", "lora"])
def test_it_is_logged_at_every_step_and_changes_nothing_else(
    policy_folder: Path, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: Any
) -> None:
    config = OWN.model_copy(update={"lora": lora})
    with_it, without = StubIO(tmp_path / "with", "grpo_model"), StubIO(tmp_path / "without", "grpo_model")
    _train(policy_folder, toolbox, with_it, config)
    monkeypatch.setattr("recops.train.listwise_trainer.StartingPolicy", lambda _: None)
    _train(policy_folder, toolbox, without, config)
    curves = [pl.read_parquet(io.out / "curve.parquet") for io in (with_it, without)]
    kl = curves[0].filter(name="kl").sort("step")
    assert kl["step"].to_list() == [1, 2]
    assert kl["value"][0] == pytest.approx(0.0, abs=1e-6)
    assert kl["value"][1] > 1e-5
    assert curves[0].filter(pl.col("name") != "kl").equals(curves[1])
    assert _without_curve(with_it) == _without_curve(without)


def _without_curve(io: StubIO) -> dict[str, bytes]:
    return {name: content for name, content in files(io.out).items() if name != "curve.parquet"}


def test_all_weights_are_back_bit_for_bit_also_after_an_error(policy: LocalPolicy) -> None:
    before = weights(policy.model)
    start = StartingPolicy(policy.model)
    with torch.no_grad():
        for one in policy.model.parameters():
            one.mul_(1.1)
    now = weights(policy.model)
    drawn = torch.get_rng_state()
    with pytest.raises(KeyError):
        _fail_in(start)
    assert torch.equal(weights(policy.model), now)
    assert torch.equal(torch.get_rng_state(), drawn)
    with start.in_place():
        assert torch.equal(weights(policy.model), before)


def _fail_in(start: StartingPolicy) -> None:
    with start.in_place():
        torch.rand(3)
        raise KeyError


def test_its_mean_over_what_a_policy_draws_is_the_divergence() -> None:
    ours, start = torch.tensor([0.7, 0.2, 0.1]), torch.tensor([0.5, 0.2, 0.3])
    exact = (ours * (ours / start).log()).sum()
    estimates = divergence(ours.log(), start.log())
    assert (estimates >= 0).all()
    assert (ours * estimates).sum() == pytest.approx(float(exact), rel=1e-5)
