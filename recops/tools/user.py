"""Tools about the user. A docstring here is part of the prompt."""

from recops.tools.context import ToolContext, whole_number

MAX_EVENTS = 50
_MILLISECONDS_PER_DAY = 86_400_000


def get_user_history(context: ToolContext, limit: int) -> str:
    """The user's last items, newest first, with rating and age.

    Args:
        limit: how many items, 1 to 50
    """
    count = whole_number("limit", limit, low=1, high=MAX_EVENTS)
    sample = context.task.sample
    lines = []
    for event in reversed(sample.history[-count:]):
        days = (sample.timestamp - event.timestamp) // _MILLISECONDS_PER_DAY
        rating = "" if event.rating is None else f" | rated {event.rating:g}"
        lines.append(f"{context.item_text.line(event.item, context.agent.tool_fields)}{rating} | {days} days ago")
    return "\n".join(lines)
