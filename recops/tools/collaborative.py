"""Tools that know what other users did. A docstring here is part of the prompt."""

import numpy as np

from recops.tools.context import ToolContext


def rank_by_next_item(context: ToolContext) -> str:
    """The candidates by the next-item score of a sequence model."""
    scores = context.evidence.next_item(context.task.sample, context.task.candidates)
    return context.order(scores, "rank_by_next_item")


def get_similar_users(context: ToolContext) -> str:
    """The candidates by how often similar users took them."""
    taken = context.evidence.similar_users(context.task.sample, context.task.candidates)
    return context.order(np.where(taken > 0, taken, np.nan), "get_similar_users")
