import math

import pytest
import torch

from recops.retrieval.loss import catalogue_cross_entropy

KNOWN = torch.tensor([False, True, True, False, True])


def test_loss_is_the_hand_computed_one() -> None:
    logits = torch.tensor([[9.0, 0.0, math.log(2), 9.0, math.log(5)], [9.0, 0.0, 0.0, 9.0, 0.0]])
    expected = (math.log(8 / 2) + math.log(3)) / 2
    assert catalogue_cross_entropy(logits, torch.tensor([2, 1]), KNOWN).item() == pytest.approx(expected)


def test_padding_and_unknown_items_get_no_gradient() -> None:
    logits = torch.randn(3, 5, generator=torch.Generator().manual_seed(0), requires_grad=True)
    catalogue_cross_entropy(logits, torch.tensor([1, 2, 4]), KNOWN).backward()
    assert logits.grad is not None
    assert (logits.grad[:, ~KNOWN] == 0).all()
    assert (logits.grad[:, KNOWN] != 0).all()


def test_unknown_target_is_refused() -> None:
    with pytest.raises(ValueError, match="item 3"):
        catalogue_cross_entropy(torch.zeros(2, 5), torch.tensor([1, 3]), KNOWN)


def test_no_target_is_refused() -> None:
    with pytest.raises(ValueError, match="found none"):
        catalogue_cross_entropy(torch.zeros(0, 5), torch.zeros(0, dtype=torch.int64), KNOWN)
