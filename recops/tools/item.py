"""Tools about the candidates as items. A docstring here is part of the prompt."""

from collections import Counter
from typing import Literal

import numpy as np

from recops.records import label
from recops.tools.context import ToolContext, choice, spaced
from recops.tools.prices import BANDS, price_band

_MAX_RELATED = 3
"""Items listed beside the candidates for each relation."""


def get_item_info(context: ToolContext, candidate: str) -> str:
    """Facts about one candidate and how often it was taken.

    Args:
        candidate: its letter
    """
    item = context.named_item("candidate", candidate)
    taken = context.evidence.times_taken(context.task.sample, item)
    name = f" {label(context.candidates.index(item))} | " if item in context.candidates else ""
    return f"{name}{context.line(item)} | taken {taken} times"


def get_related_items(context: ToolContext, item: str) -> str:
    """What goes with an item: taken together by others, of its store, of its category.

    Args:
        item: a candidate's letter, or a title of the history
    """
    asked = context.named_item("item", item)
    catalogue, moment = context.evidence.catalogue, context.moment()
    together, _ = catalogue.taken_together(asked, moment.timestamp)
    near = [other for other in together.tolist() if other not in moment.left_out][:_MAX_RELATED]
    lines = _line("Taken together", _candidates_in(context, together.tolist()))
    others = context.others("Also taken together", near)
    for shared in ("store", "category"):
        same = catalogue.share(shared, asked, context.candidates) & (np.asarray(context.candidates) != asked)
        lines += _line(f"Same {shared}", context.labels_where(same))
        others += context.others(f"Also of the {shared}", catalogue.of_same(shared, asked, moment, _MAX_RELATED))
    return "\n".join(lines + others) or "Nothing related is known."


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
    category = [context.field(item, "category") for item in context.candidates]
    in_history = Counter(context.field(event.item, "category") for event in context.history)
    groups = _grouped(category)
    names = sorted(groups, key=lambda name: (-in_history[name], -len(groups[name]), name))
    shown = [name for name in names if in_history[name] or len(groups[name]) > 1]
    lines = [f"{name}:{spaced(groups[name])}" for name in shown]
    others = [one for name in names if name not in shown for one in groups[name]]
    lines += _line("Other categories", others)
    prices = _grouped([price_band(context.item_text.price(item), context.price_limits) for item in context.candidates])
    return "\n".join(lines + [f"Price {band}:{spaced(prices[band])}" for band in BANDS if band in prices])


def _grouped(names: list[str]) -> dict[str, list[str]]:
    """Return name -> labels of the candidates that bear it, in the order of the labels."""
    groups: dict[str, list[str]] = {}
    for place, name in enumerate(names):
        groups.setdefault(name, []).append(label(place))
    return groups


def _candidates_in(context: ToolContext, items: list[int]) -> list[str]:
    """Return the labels of the candidates among `items`, in the order of `items`."""
    places = {item: place for place, item in enumerate(context.candidates)}
    return [label(places[item]) for item in items if item in places]


def _line(head: str, labels: list[str]) -> list[str]:
    return [f"{head}:{spaced(labels)}"] if labels else []
