import math

import pytest
import torch

from recops.retrieval.catalogue_loss import cross_entropy_over
from recops.retrieval.loss import (
    binary_cross_entropy,
    calibrated_beta,
    catalogue_cross_entropy,
    generalised_binary_cross_entropy,
    sampled_softmax,
)

KNOWN = torch.tensor([False, True, True, False, True])
LOG3 = math.log(3)
"""The logit of 3/4."""


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


def test_sampled_softmax_is_the_hand_computed_one() -> None:
    positives, negatives = torch.tensor([math.log(2), 0.0]), torch.tensor([[0.0, math.log(3)], [0.0, -math.inf]])
    # Nine items: each of two negatives stands for four; the one of -inf does not count.
    expected = (math.log((2 + 4 * (1 + 3)) / 2) + math.log(1 + 4)) / 2
    assert sampled_softmax(positives, negatives, 9).item() == pytest.approx(expected)


def test_sampled_softmax_with_all_other_items_is_the_one_over_the_catalogue() -> None:
    logits = torch.randn(1, 5, generator=torch.Generator().manual_seed(0))
    everything = torch.tensor([True] * 5)
    expected = catalogue_cross_entropy(logits, torch.tensor([2]), everything)
    torch.testing.assert_close(sampled_softmax(logits[:, 2], logits[:, [0, 1, 3, 4]], 5), expected)


def test_binary_losses_are_the_hand_computed_ones() -> None:
    positives, negatives = torch.tensor([LOG3]), torch.tensor([[0.0, -LOG3]])
    rejected = math.log(2) + math.log(4 / 3)
    plain = (math.log(4 / 3) + rejected) / 3
    assert binary_cross_entropy(positives, negatives).item() == pytest.approx(plain)
    generalised = (0.25 * math.log(4 / 3) + rejected) / 3
    assert generalised_binary_cross_entropy(positives, negatives, beta=0.25).item() == pytest.approx(generalised)


@pytest.mark.parametrize(("calibration", "beta"), [(0.0, 1.0), (1.0, 0.1), (0.75, 0.325)])
def test_beta_goes_from_one_to_the_share_of_drawn_negatives(calibration: float, beta: float) -> None:
    assert calibrated_beta(10, 101, calibration) == pytest.approx(beta)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_chunked_loss_and_gradients_equal_those_of_all_logits_at_once(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(0)
    states = torch.randn(600, 8, generator=generator, requires_grad=True)
    embeddings = torch.randn(30, 8, generator=generator, requires_grad=True)
    places = torch.randint(30, (600,), generator=generator)
    results = []
    for loss in (
        cross_entropy_over(states, embeddings, places, dtype),
        catalogue_cross_entropy(states @ embeddings.T, places, torch.ones(30, dtype=torch.bool)),
    ):
        results.append((loss.detach(), *torch.autograd.grad(3 * loss, (states, embeddings))))
    tolerance = {"rtol": 1e-4, "atol": 1e-6} if dtype == torch.float32 else {"rtol": 0.02, "atol": 2e-3}
    for chunked, whole in zip(*results, strict=True):
        torch.testing.assert_close(chunked, whole, **tolerance)
