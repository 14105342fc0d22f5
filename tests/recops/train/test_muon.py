"""Muon against torch's own, which iterates in bfloat16, and against the definition."""

import pytest
import torch

from recops.train.muon import Muon, orthogonalized

SHAPES = [(24, 24), (48, 24), (24, 24), (24, 48), (24, 24)]


def matrices(seed: int = 0) -> list[torch.nn.Parameter]:
    generator = torch.Generator().manual_seed(seed)
    return [torch.nn.Parameter(torch.randn(*shape, generator=generator)) for shape in SHAPES]


def with_gradients(parameters: list[torch.nn.Parameter], seed: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    for parameter in parameters:
        parameter.grad = torch.randn(parameter.shape, generator=generator)


def test_the_steps_are_those_of_torch_within_the_precision_of_its_bfloat16() -> None:
    ours, theirs, untouched = matrices(), matrices(), matrices()
    optimizer = Muon(ours, lr=0.1, weight_decay=0.5)
    reference = torch.optim.Muon(theirs, lr=0.1, weight_decay=0.5, adjust_lr_fn="match_rms_adamw")
    for step in range(4):
        for parameters, one in ((ours, optimizer), (theirs, reference)):
            with_gradients(parameters, seed=step)
            one.step()
    for moved, expected, start in zip(ours, theirs, untouched, strict=True):
        way = (expected - start).norm()
        assert (moved - expected).norm() < 0.01 * way
        assert way > 0.1 * start.norm()


def test_an_update_is_the_orthogonal_factor_up_to_singular_values_near_one() -> None:
    stack = torch.randn(3, 20, 32, generator=torch.Generator().manual_seed(1))
    for turned in (stack, stack.mT):
        values = torch.linalg.svdvals(orthogonalized(turned))
        assert values.min() > 0.5
        assert values.max() < 1.3
        left, _, right = torch.linalg.svd(turned, full_matrices=False)
        cosine = torch.nn.functional.cosine_similarity(
            orthogonalized(turned).flatten(), (left @ right).flatten(), dim=0
        )
        assert cosine > 0.97


def test_a_matrix_without_a_gradient_stays() -> None:
    parameters = matrices()
    with_gradients(parameters, seed=3)
    parameters[0].grad = None
    before = [one.detach().clone() for one in parameters]
    Muon(parameters, lr=0.1, weight_decay=0.5).step()
    assert [torch.equal(one, old) for one, old in zip(parameters, before, strict=True)] == [True] + [False] * 4


def test_a_step_goes_on_from_a_saved_state_to_the_last_bit() -> None:
    whole, halves = matrices(), matrices()
    optimizer, first = Muon(whole, lr=0.1, weight_decay=0.5), Muon(halves, lr=0.1, weight_decay=0.5)
    for one, parameters in ((optimizer, whole), (first, halves)):
        with_gradients(parameters, seed=4)
        one.step()
    second = Muon(halves, lr=0.1, weight_decay=0.5)
    second.load_state_dict(first.state_dict())
    for one, parameters in ((optimizer, whole), (second, halves)):
        with_gradients(parameters, seed=5)
        one.step()
    assert all(torch.equal(one, other) for one, other in zip(whole, halves, strict=True))


def test_what_is_no_matrix_is_refused() -> None:
    with pytest.raises(ValueError, match=r"\(7,\)"):
        Muon([torch.nn.Parameter(torch.zeros(7))], lr=0.1, weight_decay=0.0)
