"""What the episodes of a training step did, as numbers over steps."""

from collections import Counter
from collections.abc import Sequence
from statistics import fmean

import torch

from recops.agent.rewards import OWN
from recops.records import Episode
from recops.train.advantages import negative_groups


def episode_metrics(episodes: Sequence[Episode], group_size: int) -> dict[str, float]:
    """Return means over the episodes of a step, and shares of its groups.

    Names: every term of the reward; `invalid` (share of invalid answers) and `invalid/REASON`; `calls` and
    `calls/TOOL` per episode; `groups/dropped` (all rewards negative) and `groups/zero_variance` (nothing to learn);
    `tokens` after the prompt. NDCG and own terms count list-wise tasks only, preference accuracy counts
    pairs only.
    """
    count = len(episodes)
    reasons = Counter(str(episode.answer.error) for episode in episodes if episode.answer.error is not None)
    tools = Counter(call.tool for episode in episodes for call in episode.calls)
    rewards_N = torch.tensor([episode.reward for episode in episodes], dtype=torch.float64)
    spread_M = rewards_N.view(-1, group_size).amax(dim=1) - rewards_N.view(-1, group_size).amin(dim=1)
    return {
        **_terms(episodes),
        "invalid": sum(reasons.values()) / count,
        **{f"invalid/{reason}": number / count for reason, number in sorted(reasons.items())},
        "calls": sum(tools.values()) / count,
        **{f"calls/{tool}": number / count for tool, number in sorted(tools.items())},
        "groups/dropped": float(negative_groups(rewards_N, group_size).double().mean()),
        "groups/zero_variance": float((spread_M < 1e-9).double().mean()),
        "tokens": fmean(episode.num_completion_tokens for episode in episodes),
    }


def _terms(episodes: Sequence[Episode]) -> dict[str, float]:
    """Return the mean of each term over the tasks that it applies to."""
    kinds = {"ndcg": ("rank",), "preference": ("more", "less")}
    means = {}
    for name in episodes[0].rewards:
        wanted = ("rank",) if name.startswith(OWN) else kinds.get(name, ("rank", "more", "less"))
        values = [episode.rewards[name] for episode in episodes if episode.task.direction in wanted]
        if values:
            means[name] = fmean(values)
    return means
