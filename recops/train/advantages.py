"""Advantages inside groups (AgenticRec): reward minus the group's mean, not divided by its standard deviation.

With the mean over the whole group the expected gradient is (G-1)/G times the true one; the mean over the others makes
it exact. To divide is a rule too, so that its cost can be measured: no multiple of the true gradient is left then.
Shapes: N episodes in the order of their groups, G episodes of a group.
"""

import torch
from torch import Tensor

from recops.config.policy import AdvantageRule

_SMALLEST_SPREAD = 1e-4
"""Added to a standard deviation, as TRL does: a group without any spread has advantages of 0."""


def group_advantages(
    rewards_N: Tensor, group_size: int, *, rule: AdvantageRule, drop_negative: bool
) -> tuple[Tensor, Tensor]:
    """Return advantages (N,), and which episodes belong to a group that is kept (N,), bool.

    Args:
        rewards_N: one reward per episode; N is a multiple of `group_size`, groups one after the other.
        group_size: G, at least 2.
        rule: the baseline is the mean of the group, or of its other episodes; `standardized` is the first, divided by
            the group's standard deviation (with G - 1).
        drop_negative: a group whose rewards are all below 0 gets the advantage 0.
    """
    rewards_MG = rewards_N.view(-1, group_size)
    advantages_MG = rewards_MG - rewards_MG.mean(dim=1, keepdim=True)
    if rule == "leave_one_out":
        advantages_MG = advantages_MG * group_size / (group_size - 1)
    elif rule == "standardized":
        advantages_MG = advantages_MG / (rewards_MG.std(dim=1, keepdim=True) + _SMALLEST_SPREAD)
    dropped_M = negative_groups(rewards_N, group_size)
    kept_MG = (~dropped_M[:, None] if drop_negative else torch.ones_like(dropped_M[:, None])).expand_as(rewards_MG)
    return (advantages_MG * kept_MG).reshape(-1), kept_MG.reshape(-1)


def negative_groups(rewards_N: Tensor, group_size: int) -> Tensor:
    """Return which groups have rewards that are all negative, bool (N / G,)."""
    return (rewards_N.view(-1, group_size) < 0).all(dim=1)
