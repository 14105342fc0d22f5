"""Advantages inside groups (AgenticRec): reward minus the group's mean, never divided by its standard deviation.

With the mean over the whole group the expected gradient is (G-1)/G times the true one; the mean over the others makes
it exact. Shapes: N episodes in the order of their groups, G episodes of a group.
"""

from typing import Literal

import torch
from torch import Tensor


def group_advantages(
    rewards_N: Tensor, group_size: int, *, rule: Literal["mean", "leave_one_out"], drop_negative: bool
) -> tuple[Tensor, Tensor]:
    """Return advantages (N,), and which episodes belong to a group that is kept (N,), bool.

    Args:
        rewards_N: one reward per episode; N is a multiple of `group_size`, groups one after the other.
        group_size: G, at least 2.
        rule: the baseline is the mean of the group, or of its other episodes.
        drop_negative: a group whose rewards are all below 0 gets the advantage 0.
    """
    rewards_MG = rewards_N.view(-1, group_size)
    advantages_MG = rewards_MG - rewards_MG.mean(dim=1, keepdim=True)
    if rule == "leave_one_out":
        advantages_MG = advantages_MG * group_size / (group_size - 1)
    dropped_M = negative_groups(rewards_N, group_size)
    kept_MG = (~dropped_M[:, None] if drop_negative else torch.ones_like(dropped_M[:, None])).expand_as(rewards_MG)
    return (advantages_MG * kept_MG).reshape(-1), kept_MG.reshape(-1)


def negative_groups(rewards_N: Tensor, group_size: int) -> Tensor:
    """Return which groups have rewards that are all negative, bool (N / G,)."""
    return (rewards_N.view(-1, group_size) < 0).all(dim=1)
