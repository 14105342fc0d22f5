import torch

from recops.train.advantages import group_advantages, negative_groups

REWARDS = torch.tensor([1.0, 0.0, 0.5, 0.5, -1.0, -1.0, -0.5, -1.0])


def test_an_advantage_is_reward_minus_the_mean_of_the_group_and_nothing_else() -> None:
    advantages, kept = group_advantages(REWARDS, 4, rule="mean", drop_negative=False)
    assert torch.allclose(advantages, torch.tensor([0.5, -0.5, 0.0, 0.0, -0.125, -0.125, 0.375, -0.125]))
    assert kept.all()


def test_scaled_rewards_give_scaled_advantages_for_nothing_divides_by_the_spread() -> None:
    once, _ = group_advantages(REWARDS, 4, rule="mean", drop_negative=False)
    tenfold, _ = group_advantages(10 * REWARDS, 4, rule="mean", drop_negative=False)
    assert torch.allclose(tenfold, 10 * once)


def test_leave_one_out_compares_with_the_mean_of_the_others() -> None:
    advantages, _ = group_advantages(REWARDS[:4], 4, rule="leave_one_out", drop_negative=False)
    assert torch.allclose(advantages[0], REWARDS[0] - REWARDS[1:4].mean())


def test_standardized_advantages_have_one_spread_whatever_the_rewards() -> None:
    advantages, _ = group_advantages(REWARDS, 4, rule="standardized", drop_negative=False)
    tenfold, _ = group_advantages(10 * REWARDS, 4, rule="standardized", drop_negative=False)
    equal, _ = group_advantages(torch.full((4,), 0.5), 4, rule="standardized", drop_negative=False)
    assert torch.allclose(advantages.view(2, 4).std(dim=1), torch.ones(2), atol=1e-3)
    assert torch.allclose(tenfold, advantages, atol=1e-3)
    assert torch.allclose(advantages[:4], torch.tensor([0.5, -0.5, 0.0, 0.0]) / REWARDS[:4].std(), atol=1e-3)
    assert equal.tolist() == [0.0] * 4


def test_a_group_whose_rewards_are_all_negative_is_dropped() -> None:
    advantages, kept = group_advantages(REWARDS, 4, rule="mean", drop_negative=True)
    assert advantages[4:].tolist() == [0.0] * 4
    assert kept.tolist() == [True] * 4 + [False] * 4
    assert negative_groups(REWARDS, 4).tolist() == [False, True]


def test_a_group_with_a_reward_of_zero_is_kept() -> None:
    _, kept = group_advantages(torch.tensor([-1.0, 0.0]), 2, rule="mean", drop_negative=True)
    assert kept.all()
