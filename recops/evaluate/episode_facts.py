"""What played episodes have in common: invalid answers, calls, and whether an answer merely repeats a tool."""

from collections import Counter
from collections.abc import Mapping, Sequence

import numpy as np

from recops.records import Episode, label


def invalid_fraction(episodes: Sequence[Episode]) -> float:
    """Return the share of episodes without a valid answer."""
    return float(np.mean([episode.answer.error is not None for episode in episodes]))


def calls_per_episode(episodes: Sequence[Episode]) -> float:
    """Return the mean number of tool calls, failed ones counted."""
    return float(np.mean([len(episode.calls) for episode in episodes]))


def copied_fraction(episodes: Sequence[Episode], num_ranked: int) -> float | None:
    """Return the share of valid answers that repeat one tool's own order, or None without any valid answer."""
    valid = [episode for episode in episodes if episode.answer.error is None]
    return float(np.mean([copied_tool(episode, num_ranked) is not None for episode in valid])) if valid else None


def copied_tool(episode: Episode, num_ranked: int) -> str | None:
    """Return the first called tool whose leading `num_ranked` candidates are the answer, item by item, or None."""
    for call in episode.calls:
        order = tool_order(call.answer, episode.task.candidates)
        if order and order[:num_ranked] == episode.answer.ranking:
            return call.tool
    return None


def tool_order(answer: str, candidates: Sequence[int]) -> tuple[int, ...]:
    """Return the items of an ordering tool's answer, the unknown ones last; empty if it does not order them all."""
    item_by_label = {label(position): item for position, item in enumerate(candidates)}
    lines = dict(line.partition(":")[::2] for line in answer.splitlines())
    words = f"{lines.get('Order', '')} {lines.get('Unknown', '')}".split()
    order = tuple(item_by_label[word] for word in words if word in item_by_label)
    return order if sorted(order) == sorted(candidates) else ()


def calls_by_tool(episodes: Sequence[Episode], tools: Sequence[str]) -> dict[str, float]:
    """Return the mean number of calls per episode for each of `tools`."""
    counts = Counter(call.tool for episode in episodes for call in episode.calls)
    return {tool: counts[tool] / len(episodes) for tool in tools}


def calls_by_kind(
    episodes: Sequence[Episode], kind_by_user: Mapping[int, str], tools: Sequence[str]
) -> dict[str, dict[str, float]]:
    """Return, per planted kind of user, the mean number of calls per episode for each of `tools`."""
    kinds = sorted({kind_by_user[episode.task.sample.user] for episode in episodes})
    groups = {kind: [one for one in episodes if kind_by_user[one.task.sample.user] == kind] for kind in kinds}
    return {kind: calls_by_tool(group, tools) for kind, group in groups.items()}


def cost_facts(episodes: Sequence[Episode]) -> dict[str, dict[str, float]]:
    """Return `tokens` (after the prompt, tool answers included) and `calls` of an episode: mean, p50, p95 and total."""
    counted = {
        "tokens": [episode.num_completion_tokens for episode in episodes],
        "calls": [len(episode.calls) for episode in episodes],
    }
    return {name: _spread(values) for name, values in counted.items()}


def _spread(values: Sequence[int]) -> dict[str, float]:
    p50, p95 = np.quantile(values, [0.5, 0.95])
    return {"mean": float(np.mean(values)), "p50": float(p50), "p95": float(p95), "total": float(np.sum(values))}
