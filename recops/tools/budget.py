"""How long an answer may be: a budget in characters for each tool, and what is left out is said.

A token of a trained tokenizer is some four characters. An order takes three characters for a candidate, so that it is
whole for any candidate set in use.
"""

OWN_TOOL_CHARACTERS = 1_000
"""Budget of a tool that is not ours."""

BUDGETS: dict[str, int] = {
    "get_user_profile": 1_000,
    "get_user_history": 8_000,
    "get_session_behavior": 1_000,
    "get_rating_behavior": 3_000,
    "get_item_info": 600,
    "get_related_items": 3_000,
    "analyze_candidates": 4_000,
    "rank_by_popularity": 4_000,
    "get_similar_items": 4_000,
    "get_similar_users": 4_000,
    "rank_by_next_item": 4_000,
    "rank_by_taken_together": 4_000,
    "rank_by_similarity": 4_000,
    "search_catalog": 4_000,
}
"""Tool -> most characters of an answer."""

_CUT = "Cut: {} more {}"


def within_budget(answer: str, budget: int) -> str:
    """Return an answer of at most `budget` characters: whole lines from its beginning, then how many are left out.

    A first line that is too long by itself is cut at a space, and the rest counted in words.
    """
    if len(answer) <= budget:
        return answer
    lines = answer.split("\n")
    room = budget - len(_CUT.format(len(lines), "lines")) - 1
    kept: list[str] = []
    while len("\n".join([*kept, lines[len(kept)]])) <= room:
        kept.append(lines[len(kept)])
    if kept:
        return "\n".join([*kept, _CUT.format(len(lines) - len(kept), "lines")])
    return _first_words(lines[0], budget)


def _first_words(line: str, budget: int) -> str:
    room = budget - len(_CUT.format(len(line), "words")) - 1
    kept = line[:room].rpartition(" ")[0] or line[:room]
    return f"{kept}\n{_CUT.format(len(line[len(kept) :].split()), 'words')}"
