"""Tools about the user: each reads the user's own history. A docstring here is part of the prompt."""

from collections import Counter
from collections.abc import Callable, Sequence

import numpy as np

from recops.config.agent import ItemField, ProfilePart
from recops.records import Event
from recops.tools.context import MAX_LISTED, MILLISECONDS_PER_DAY, ToolContext, whole_number
from recops.tools.habits import HABITS, habit_line, habit_word
from recops.tools.item_text import UNKNOWN
from recops.tools.prices import price_band

MAX_EVENTS = 50
NO_HISTORY = "No history."
_MAX_SESSIONS = 3
_SESSION_GAP_DAYS = 1
"""A session ends where the next item comes later than this: data with days for times has sessions too."""
_HIGH, _LOW = 4.0, 2.0
"""Ratings from the one on are high and up to the other low, of 5."""


def get_user_profile(context: ToolContext) -> str:
    """The user's habits and tastes in short."""
    if not context.history:
        return NO_HISTORY
    return "\n".join(line for part in context.agent.profile_parts for line in _PROFILE[part](context))


def get_user_history(context: ToolContext, limit: int) -> str:
    """The user's last items, newest first, with rating and age.

    Args:
        limit: how many items, 1 to 50
    """
    count = whole_number("limit", limit, low=1, high=MAX_EVENTS)
    if not context.history:
        return NO_HISTORY
    return "\n".join(_told(context, context.history[: -count - 1 : -1]))


def get_session_behavior(context: ToolContext) -> str:
    """How interest moved: categories of the latest sessions, newest first, and what is new in the last."""
    sessions = _sessions(context.history)
    if not sessions:
        return NO_HISTORY
    lines = [f"{context.days_ago(one[-1])} days ago: {_listed(context, one)}" for one in sessions[:_MAX_SESSIONS]]
    before = [event for one in sessions[1:] for event in one]
    latest, earlier = (Counter(context.field(event.item, "category") for event in some) for some in
                       (sessions[0], before))  # fmt: skip
    new, left = (
        [name for name, _ in these.most_common() if name not in those and name != UNKNOWN]
        for these, those in ((latest, earlier), (earlier, latest))
    )
    lines.append(f"New: {_cut(new)}")
    lines.append(f"Left: {_cut(left)}")
    return "\n".join(lines)


def get_rating_behavior(context: ToolContext) -> str:
    """The user's items by high, middle and low rating, newest first."""
    if not context.history:
        return NO_HISTORY
    rated = [event for event in reversed(context.history) if event.rating is not None]
    groups = {
        "High": [event for event in rated if (event.rating or 0.0) >= _HIGH],
        "Middle": [event for event in rated if _LOW < (event.rating or 0.0) < _HIGH],
        "Low": [event for event in rated if (event.rating or 0.0) <= _LOW],
    }
    lines = [line for head, events in groups.items() for line in _group(context, head, events)]
    unrated = len(context.history) - len(rated)
    return "\n".join(lines + ([f"Unrated: {unrated}"] if unrated else []))


def _habits(context: ToolContext) -> list[str]:
    """A line each for categories and stores: how often the user comes back to one."""
    return [
        habit_line(plural, habit_word([context.field(event.item, field) for event in context.history]))
        for plural, field in HABITS.items()
    ]


def _price(context: ToolContext) -> list[str]:
    prices = [price for event in context.history if (price := context.item_text.price(event.item)) is not None]
    if not prices:
        return []
    middle = float(np.median(prices))
    return [f"Price: {price_band(middle, context.price_limits)}, median ${middle:.2f}"]


def _rating(context: ToolContext) -> list[str]:
    history = context.history
    ratings = [event.rating for event in history if event.rating is not None]
    return [f"Rating: {np.mean(ratings):.1f} on average, {len(ratings)} of {len(history)} rated"] if ratings else []


def _span(context: ToolContext) -> list[str]:
    history = context.history
    days = (history[-1].timestamp - history[0].timestamp) // MILLISECONDS_PER_DAY
    return [f"{len(history)} items in {days} days, the last {context.days_ago(history[-1])} days ago"]


_PROFILE: dict[ProfilePart, Callable[[ToolContext], list[str]]] = {
    "habits": _habits,
    "categories": lambda context: [f"Categories: {_counted(context, context.history, 'category')}"],
    "stores": lambda context: [f"Stores: {_counted(context, context.history, 'store')}"],
    "price": _price,
    "rating": _rating,
    "span": _span,
}


def _told(context: ToolContext, events: Sequence[Event]) -> list[str]:
    """A line for each event: the item, its rating, its age."""
    items = context.lines([event.item for event in events])
    ratings = ("" if event.rating is None else f" | rated {event.rating:g}" for event in events)
    ages = (f" | {context.days_ago(event)} days ago" for event in events)
    return ["".join(parts) for parts in zip(items, ratings, ages, strict=True)]


def _group(context: ToolContext, head: str, events: Sequence[Event]) -> list[str]:
    more = [f"and {len(events) - MAX_LISTED} more"] if len(events) > MAX_LISTED else []
    return [f"{head}: {len(events)}", *_told(context, events[:MAX_LISTED]), *more]


def _counted(context: ToolContext, events: Sequence[Event], name: ItemField) -> str:
    """The values of a field with their counts, the most frequent first, of equal ones the latest."""
    counts = Counter(context.field(event.item, name) for event in reversed(events))
    return _cut([f"{value} {count}" for value, count in counts.most_common()])


def _listed(context: ToolContext, session: Sequence[Event]) -> str:
    """The categories of a session in the order of first taking."""
    return _cut(list(dict.fromkeys(context.field(event.item, "category") for event in session)))


def _cut(names: Sequence[str]) -> str:
    more = f" and {len(names) - MAX_LISTED} more" if len(names) > MAX_LISTED else ""
    return (", ".join(names[:MAX_LISTED]) or "nothing") + more


def _sessions(history: Sequence[Event]) -> list[list[Event]]:
    """The history in sessions, the newest first, each oldest first."""
    sessions: list[list[Event]] = []
    for event in history:
        gap = event.timestamp - sessions[-1][-1].timestamp if sessions else None
        if gap is None or gap > _SESSION_GAP_DAYS * MILLISECONDS_PER_DAY:
            sessions.append([])
        sessions[-1].append(event)
    return sessions[::-1]
