"""One call or more of every tool, for tests that ask all of them."""

from typing import Any

CALLS: tuple[tuple[str, dict[str, Any]], ...] = (
    ("get_user_profile", {}),
    ("get_user_history", {"limit": 50}),
    ("get_session_behavior", {}),
    ("get_rating_behavior", {}),
    ("get_item_info", {"candidate": "A"}),
    ("get_item_info", {"candidate": "C"}),
    ("get_related_items", {"item": "B"}),
    ("get_related_items", {"item": "E"}),
    ("analyze_candidates", {}),
    ("rank_by_popularity", {"window": "recent"}),
    ("rank_by_popularity", {"window": "ever"}),
    ("get_similar_items", {"item": "D"}),
    ("get_similar_users", {}),
    ("rank_by_next_item", {}),
    ("rank_by_taken_together", {}),
    ("rank_by_similarity", {}),
    ("search_catalog", {"query": "Harbour yoga mat, teal"}),
    ("search_catalog", {"query": "a teal kettle or game by Glenrock, kind things"}),
)
