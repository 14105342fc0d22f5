"""Whom an agent believes: how often its first item is a tool's first item, and how often that one was right.

Trust is calibrated where the tool is right more often when it is followed than when it is not. Shape suffixes: N
samples, C columns of 0 and 1, R resamples of users.
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recops.evaluate.episode_facts import tool_order
from recops.evaluate.statistics import bootstrap_means
from recops.records import Episode

Trust = dict[str, Any]
Columns = NDArray[np.float64]

_SHARES = {"followed": (1, 0), "right_followed": (3, 1), "right_ignored": (4, 2)}
"""Share -> columns of numerator and denominator: ordered, followed, ignored, followed and right, ignored and right."""


def trust_by_agent(
    episodes: Mapping[str, Sequence[Episode]],
    users_N: NDArray[np.int64],
    tools: Sequence[str],
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> dict[str, dict[str, Trust]]:
    """Return by agent and tool `num_orders` and three shares, each `mean`, `low`, `high` over users.

    `num_orders` counts valid answers before which the tool gave an order of all candidates. `followed` is the share of
    them that begin with the order's first item, `right_followed` how often that item was the target where it was
    followed, `right_ignored` where it was not. A share of nothing is left out, and so is a tool that gave no order.

    Args:
        episodes: by agent, one episode per sample, in the order of `users_N`.
        users_N: the user of each sample.
        tools: the agent's tools.
        draws: number of bootstrap resamples.
        confidence: coverage of the intervals.
        seed: equal seeds give equal shares.
    """
    blocks = {(agent, tool): _columns(played, tool) for agent, played in episodes.items() for tool in tools}
    asked = {key: columns_NC for key, columns_NC in blocks.items() if columns_NC[:, 0].any()}
    found: dict[str, dict[str, Trust]] = {agent: {} for agent in episodes}
    if not asked:
        return found
    means_RC = bootstrap_means(np.concatenate(list(asked.values()), axis=1), users_N, draws=draws, seed=seed)
    tail = (1 - confidence) / 2
    for number, ((agent, tool), columns_NC) in enumerate(asked.items()):
        resampled_RC = means_RC[:, number * 5 : number * 5 + 5]
        found[agent][tool] = _shares(columns_NC.sum(axis=0), resampled_RC, [tail, 1 - tail])
    return found


def _columns(episodes: Sequence[Episode], tool: str) -> Columns:
    return np.array([_row(episode, tool) for episode in episodes], dtype=np.float64)


def _row(episode: Episode, tool: str) -> tuple[bool, ...]:
    """What one episode says of a tool; an answer that is invalid follows nobody."""
    orders = (tool_order(call.answer, episode.task.candidates) for call in episode.calls if call.tool == tool)
    order = next((order for order in orders if order), ())
    if not order or episode.answer.error is not None:
        return (False,) * 5
    followed, right = episode.answer.ranking[0] == order[0], episode.task.sample.target == order[0]
    return (True, followed, not followed, followed and right, not followed and right)


def _shares(totals_C: Columns, resampled_RC: Columns, ends: Sequence[float]) -> Trust:
    shares: Trust = {"num_orders": int(totals_C[0])}
    for name, (top, bottom) in _SHARES.items():
        if not totals_C[bottom]:
            continue
        # A resample in which nothing was followed has no such share.
        usable_R = resampled_RC[:, bottom] > 0
        low, high = np.quantile(resampled_RC[usable_R, top] / resampled_RC[usable_R, bottom], ends)
        mean = totals_C[top] / totals_C[bottom]
        shares[name] = {"mean": float(mean), "low": float(low), "high": float(high)}
    return shares
