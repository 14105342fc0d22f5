"""Tools that read the items' texts. A docstring here is part of the prompt."""

from recops.tools.context import ToolContext


def rank_by_similarity(context: ToolContext) -> str:
    """The candidates by similarity of their text to the history."""
    scores = context.evidence.text_similarity(context.task.sample, context.task.candidates)
    return context.order(scores, "rank_by_similarity")
