import math

import pytest
import torch
from torch.nn.functional import logsigmoid

from recops.train.label_loss import label_log_probabilities, label_loss, s_dpo_loss


def test_s_dpo_equals_the_formula_computed_by_hand() -> None:
    # beta .5, ratios: target log 4, negatives log 1 and log 16: exp(.5 (0 - log 4)) = .5, exp(.5 log 4) = 2.
    ratios, rejected = torch.tensor([math.log(4)]), torch.tensor([[0.0, math.log(16)]])
    expected = -math.log(1 / (1 + (0.5 + 2.0)))
    assert s_dpo_loss(ratios, rejected, 0.5).item() == pytest.approx(expected)


def test_s_dpo_is_the_mean_over_prompts() -> None:
    ratios, rejected = torch.tensor([1.0, -2.0]), torch.tensor([[0.5, 0.0], [1.0, -1.0]])
    alone = [s_dpo_loss(ratios[row : row + 1], rejected[row : row + 1], 0.3).item() for row in range(2)]
    assert s_dpo_loss(ratios, rejected, 0.3).item() == pytest.approx(sum(alone) / 2)


def test_with_one_negative_s_dpo_is_dpo() -> None:
    generator = torch.Generator().manual_seed(0)
    chosen, rejected = torch.randn(5, generator=generator), torch.randn(5, generator=generator)
    dpo = -logsigmoid(0.1 * (chosen - rejected)).mean()
    assert s_dpo_loss(chosen, rejected[:, None], 0.1).item() == pytest.approx(dpo.item())


def test_before_the_first_step_the_loss_is_that_of_equal_ratios() -> None:
    assert s_dpo_loss(torch.zeros(3), torch.zeros(3, 7), 1.0).item() == pytest.approx(math.log(8))


def test_a_negative_that_the_model_prefers_weighs_most_in_the_gradient() -> None:
    rejected = torch.tensor([[3.0, 0.0, -3.0]], requires_grad=True)
    s_dpo_loss(torch.zeros(1), rejected, 1.0).backward()  # type: ignore[no-untyped-call]
    assert rejected.grad is not None
    hard, middle, easy = rejected.grad[0].tolist()
    assert hard > middle > easy > 0


def test_s_dpo_of_extreme_ratios_is_finite() -> None:
    assert s_dpo_loss(torch.tensor([-1e4]), torch.tensor([[1e4, 0.0]]), 1.0).item() == pytest.approx(2e4)


def test_the_label_loss_is_the_negative_log_probability_over_the_whole_vocabulary() -> None:
    logits = torch.tensor([[0.0, math.log(2), math.log(5)]])
    assert label_loss(logits, torch.tensor([1])).item() == pytest.approx(-math.log(2 / 8))
    assert label_log_probabilities(logits, torch.tensor([[2, 0]])).exp().tolist() == [pytest.approx([5 / 8, 1 / 8])]
