"""The gradient of a GRPO step against the true one, on a policy small enough to enumerate.

The policy writes one of V tokens after one prompt, and each token has a reward: every group of G episodes that it can
play is handed to the trainer, whose own loss gives the group's gradient. Weighed by the probability of the groups,
they sum to the expectation of the estimator, with no draw and so with no noise.
"""

from collections.abc import Iterator
from itertools import product
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import Qwen3Config, Qwen3ForCausalLM

from recops.agent.local_policy import LocalPolicy
from recops.config.policy import AdvantageRule
from recops.tools.toolbox import Toolbox
from recops.train.grpo import build_trainer
from tests.recops.agent.world import AGENT, all_tasks
from tests.recops.train.scripted_loop import Played, always, follow
from tests.recops.train.small import GRPO

REWARDS_V = (1.0, 0.1, 0.0, -0.1)
"""A rare token is by far the best: to divide by the spread of a group then turns the gradient."""
PROMPT = (1, 3, 0)


def _policy() -> Any:
    """A transformer whose whole vocabulary is the V tokens; it writes them with probability .09, .50, .18 and .23."""
    torch.manual_seed(8)
    model: Any = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(REWARDS_V), hidden_size=8, intermediate_size=16, num_hidden_layers=1, num_attention_heads=2,
            num_key_value_heads=1, head_dim=4, max_position_embeddings=16, tie_word_embeddings=False,
            bos_token_id=None, eos_token_id=None, pad_token_id=None, attention_dropout=0.0, dtype="float32",
        )
    )  # fmt: skip
    with torch.no_grad():
        model.lm_head.weight.mul_(20)
    return model


def _probabilities(model: nn.Module, temperature: float) -> Tensor:
    """What the policy does after the prompt, (V,)."""
    logits_V = model(input_ids=torch.tensor([PROMPT])).logits[0, -1]
    return torch.softmax(logits_V / temperature, dim=0)


def _gradient(model: nn.Module, value: Tensor) -> Tensor:
    """The gradient of a value as one vector, over every parameter."""
    model.zero_grad()
    value.backward()  # type: ignore[no-untyped-call]
    parts = [torch.zeros_like(one) if one.grad is None else one.grad for _, one in sorted(model.named_parameters())]
    return torch.cat([part.flatten() for part in parts])


def _true_gradient(model: nn.Module, temperature: float) -> Tensor:
    """The gradient of the expected reward."""
    return _gradient(model, _probabilities(model, temperature) @ torch.tensor(REWARDS_V))


@pytest.fixture
def expected_gradient(policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Sum the gradients of the trainer's loss over all groups, weighed by their probability."""

    def gradient(rule: AdvantageRule, group_size: int, temperature: float) -> tuple[Tensor, Tensor]:
        model = _policy()
        config = GRPO.model_copy(
            update={"tool_loop": "recops", "advantage": rule, "group_size": group_size, "samples_per_step": 1,
                    "temperature": temperature}
        )  # fmt: skip
        trainer = build_trainer(
            model, policy.tokenizer, all_tasks(toolbox)[:1], toolbox, config, folder=tmp_path, seed=1, agent=AGENT
        )
        probabilities_V = _probabilities(model, temperature).detach()
        total = sum(
            probabilities_V[list(tokens)].prod() * _gradient(model, loss)
            for tokens, loss in _losses(trainer, group_size, monkeypatch)
        )
        assert isinstance(total, Tensor)
        return total, _true_gradient(model, temperature)

    return gradient


def _losses(trainer: Any, group_size: int, monkeypatch: pytest.MonkeyPatch) -> Iterator[tuple[tuple[int, ...], Tensor]]:
    """Every group that can be played, and the trainer's loss on it."""
    trainer.model.train()
    trainer.current_gradient_accumulation_steps = 1
    rows = [trainer.train_dataset[0]] * group_size
    for tokens in product(range(len(REWARDS_V)), repeat=group_size):
        played = [Played([token], [1], REWARDS_V[token]) for token in tokens]
        follow(monkeypatch, always(played), prompt_ids=PROMPT)
        yield tokens, trainer._compute_loss(trainer.model, trainer._generate_and_score_completions(rows))


@pytest.mark.parametrize("temperature", [1.0, 0.4])
@pytest.mark.parametrize("group_size", [2, 3])
@pytest.mark.parametrize("rule", ["mean", "leave_one_out"])
def test_the_expected_gradient_is_the_true_one_times_what_the_rule_promises(
    expected_gradient: Any, rule: AdvantageRule, group_size: int, temperature: float
) -> None:
    estimated, true = expected_gradient(rule, group_size, temperature)
    factor = (group_size - 1) / group_size if rule == "mean" else 1.0
    assert true.norm() > 0.01
    assert torch.allclose(estimated, -factor * true, rtol=1e-3, atol=1e-5 * float(true.norm()))  # float32 sums


@pytest.mark.parametrize("group_size", [2, 3])
def test_dividing_by_the_spread_leaves_no_multiple_of_the_true_gradient(
    expected_gradient: Any, group_size: int
) -> None:
    estimated, true = expected_gradient("standardized", group_size, 1.0)
    assert -torch.cosine_similarity(estimated, true, dim=0) < 0.95
