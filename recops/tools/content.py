"""Tools that read the items' texts. A docstring here is part of the prompt."""

from recops.tools.context import MAX_LISTED, ToolContext, words

_MAX_QUERY_CHARACTERS = 200


def rank_by_similarity(context: ToolContext) -> str:
    """The candidates by similarity of their text to the history."""
    scores = context.evidence.text_similarity(context.task.sample, context.task.candidates)
    return context.order(scores, "rank_by_similarity")


def search_catalog(context: ToolContext, query: str) -> str:
    """The candidates, and other items, whose title, category or store has the words of a query.

    Args:
        query: words to look for
    """
    asked = words("query", query, longest=_MAX_QUERY_CHARACTERS)
    catalogue = context.evidence.catalogue
    order = context.order(catalogue.match(asked, context.candidates), "search_catalog")
    found = catalogue.search(asked, context.moment(), MAX_LISTED)
    return "\n".join([order, *context.others("Also found", found)])
