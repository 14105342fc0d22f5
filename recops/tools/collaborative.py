"""Tools that know what other users did. A docstring here is part of the prompt."""

import numpy as np

from recops.tools.context import MAX_LISTED, ToolContext


def rank_by_next_item(context: ToolContext) -> str:
    """The candidates by the next-item score of a sequence model."""
    scores = context.evidence.next_item(context.task.sample, context.task.candidates)
    return context.order(scores, "rank_by_next_item")


def rank_by_taken_together(context: ToolContext) -> str:
    """The candidates by how often users took them soon before or after items of the history."""
    scores = context.evidence.taken_together(context.task.sample, context.task.candidates)
    return context.order(scores, "rank_by_taken_together")


def get_similar_items(context: ToolContext, item: str) -> str:
    """The candidates, and other items, by how alike their takers' sequences are to those of an item.

    Args:
        item: a candidate's letter, or a title of the history
    """
    asked = context.named_item("item", item)
    catalogue = context.evidence.catalogue
    cosines = catalogue.similarity(asked, context.candidates)
    near = catalogue.similar(asked, context.moment(), MAX_LISTED)
    order = context.order(cosines, "get_similar_items", without=asked)
    return "\n".join([*order.splitlines(), *context.others("Also near", near)]) or "Nothing near is known."


def get_similar_users(context: ToolContext) -> str:
    """The candidates by how often similar users took them."""
    taken = context.evidence.similar_users(context.task.sample, context.task.candidates)
    return context.order(np.where(taken > 0, taken, np.nan), "get_similar_users")
