"""Tools about the candidates as items. A docstring here is part of the prompt."""

from collections import Counter
from typing import Literal

import numpy as np

from recops.records import label
from recops.tools.context import ToolContext, choice, spaced

BANDS = ("low", "middle", "high", "unknown")


def get_item_info(context: ToolContext, candidate: str) -> str:
    """Facts about one candidate and how often it was taken.

    Args:
        candidate: its letter
    """
    candidates = context.task.candidates
    labels = [label(place) for place in range(len(candidates))]
    name = choice("candidate", candidate, labels)
    item = candidates[labels.index(name)]
    taken = context.evidence.popularity(context.task.sample, [item], None)[0]
    count = 0 if np.isnan(taken) else int(taken)
    return f" {name} | {context.item_text.line(item, context.agent.tool_fields)} | taken {count} times"


def rank_by_popularity(context: ToolContext, window: Literal["recent", "ever"]) -> str:
    """The candidates by how often they were taken.

    Args:
        window: recent or ever
    """
    chosen = choice("window", window, ("recent", "ever"))
    days = context.agent.popularity_window_days if chosen == "recent" else None
    scores = context.evidence.popularity(context.task.sample, context.task.candidates, days)
    return context.order(scores, f"rank_by_popularity/{chosen}")


def analyze_candidates(context: ToolContext) -> str:
    """The candidates grouped by category, those of the history first, and by price."""
    category = [context.item_text.field(item, "category") for item in context.task.candidates]
    in_history = Counter(context.item_text.field(event.item, "category") for event in context.task.sample.history)
    groups = _grouped(category)
    names = sorted(groups, key=lambda name: (-in_history[name], -len(groups[name]), name))
    shown = [name for name in names if in_history[name] or len(groups[name]) > 1]
    lines = [f"{name}:{spaced(groups[name])}" for name in shown]
    others = [one for name in names if name not in shown for one in groups[name]]
    lines += [f"Other categories:{spaced(others)}"] if others else []
    prices = _grouped([_band(context, item) for item in context.task.candidates])
    return "\n".join(lines + [f"Price {band}:{spaced(prices[band])}" for band in BANDS if band in prices])


def _grouped(names: list[str]) -> dict[str, list[str]]:
    """Return name -> labels of the candidates that bear it, in the order of the labels."""
    groups: dict[str, list[str]] = {}
    for place, name in enumerate(names):
        groups.setdefault(name, []).append(label(place))
    return groups


def _band(context: ToolContext, item: int) -> str:
    price = context.item_text.price(item)
    return "unknown" if price is None else BANDS[int(np.searchsorted(context.price_limits, price, side="right"))]
