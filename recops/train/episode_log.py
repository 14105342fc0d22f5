"""What the episodes of a training step did, as numbers over steps: the same names at every step, 0 where none did.

A number that is missing at a step would be a hole in MLflow's drawing, and would look like one that was not measured.
"""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

import torch

from recops.agent.rewards import OWN, TERMS
from recops.records import AnswerError, Call, Episode
from recops.train.advantages import negative_groups

INVALID = "invalid_share"
UNKNOWN_TOOL = "unknown_tool"
"""Stands for every name that the model made up: those are no names for numbers, and there is no end of them."""


def episode_metrics(episodes: Sequence[Episode], group_size: int, tools: Sequence[str]) -> dict[str, float]:
    """Return means over the episodes of a step, and shares of its groups.

    Args:
        episodes: those of a step, group after group.
        group_size: how many episodes a group has.
        tools: names of the tools that the policy may call.

    Returns:
        - `terms/NAME`: every term of the reward over all episodes; their sum is the mean reward.
        - `ndcg`, own terms, `preference`: over list-wise tasks, or over pairs; only where a step has such a task.
        - `invalid_share`, `invalid_share/REASON`: shares of episodes, by their first mistake (`truncated` is one).
        - `calls`, `calls/TOOL`, `calls/unknown_tool`, `failed_calls`, `tokens` (after the prompt): per episode.
        - `groups/dropped` (all rewards negative), `groups/zero_variance` (nothing to learn): shares of groups.
    """
    count = len(episodes)
    calls = [call for episode in episodes for call in episode.calls]
    rewards_N = torch.tensor([episode.reward for episode in episodes], dtype=torch.float64)
    spread_M = rewards_N.view(-1, group_size).amax(dim=1) - rewards_N.view(-1, group_size).amin(dim=1)
    return {
        **{f"{TERMS}{name}": fmean(one.rewards[name] for one in episodes) for name in episodes[0].rewards},
        **_where_they_apply(episodes),
        **_invalid_shares(episodes),
        "calls": len(calls) / count,
        **{f"calls/{tool}": number / count for tool, number in _calls_by_tool(calls, tools).items()},
        "failed_calls": sum(call.failed for call in calls) / count,
        "groups/dropped": float(negative_groups(rewards_N, group_size).double().mean()),
        "groups/zero_variance": float((spread_M < 1e-9).double().mean()),
        "tokens": fmean(episode.num_completion_tokens for episode in episodes),
    }


def _where_they_apply(episodes: Sequence[Episode]) -> dict[str, float]:
    """Return the mean of each term that belongs to one kind of task, over the tasks of that kind."""
    means = {}
    for name in episodes[0].rewards:
        if name in ("ndcg", "preference") or name.startswith(OWN):
            is_of_pairs = name == "preference"
            values = [one.rewards[name] for one in episodes if (one.task.direction != "rank") == is_of_pairs]
            if values:
                means[name] = fmean(values)
    return means


def _invalid_shares(episodes: Sequence[Episode]) -> dict[str, float]:
    reasons = Counter(episode.answer.error for episode in episodes)
    shares = {reason: reasons[reason] / len(episodes) for reason in AnswerError}
    return {
        INVALID: (len(episodes) - reasons[None]) / len(episodes),
        **{f"{INVALID}/{reason}": share for reason, share in shares.items()},
    }


def _calls_by_tool(calls: Sequence[Call], tools: Sequence[str]) -> dict[str, int]:
    written = Counter(call.tool if call.tool in tools else UNKNOWN_TOOL for call in calls)
    return {name: written[name] for name in (*tools, UNKNOWN_TOOL)}
