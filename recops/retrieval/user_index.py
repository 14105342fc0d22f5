"""The index of users by state, and how many of the nearest it finds when it is not exact.

Shape suffixes: U users, D width, Q queries.
"""

import numpy as np
from numpy.typing import NDArray

from recops.retrieval.embeddings import UserStates
from recops.retrieval.index import ExactIndex, InvertedIndex, NeighbourIndex, recall

NUM_SIMILAR_USERS = 100
_NUM_QUERIES = 1000


def user_index(users: UserStates) -> NeighbourIndex:
    """Return an index by the cosine to the mean state, exact up to `exact_search_max_users`.

    All states share the direction of what is popular; neighbours are by what sets a state apart from it.
    """
    vectors_UD = _centred(users.vectors)
    return ExactIndex(vectors_UD) if len(vectors_UD) <= users.exact_search_max else InvertedIndex(vectors_UD)


def user_index_recall(users: UserStates, seed: int) -> float:
    """Return the share of the exact nearest users that the index finds for drawn users, in [0, 1]; 1 if it is exact."""
    index, vectors_UD = user_index(users), _centred(users.vectors)
    if isinstance(index, ExactIndex):
        return 1.0
    number = min(_NUM_QUERIES, len(vectors_UD))
    rows_Q = np.random.default_rng(seed).choice(len(vectors_UD), number, replace=False)
    found, exact = (
        each.nearest(vectors_UD[rows_Q], NUM_SIMILAR_USERS, excluded_Q=rows_Q)[0]
        for each in (index, ExactIndex(vectors_UD))
    )
    return recall(found, exact)


def _centred(vectors_UD: NDArray[np.float32]) -> NDArray[np.float32]:
    centred: NDArray[np.float32] = vectors_UD - vectors_UD.mean(axis=0)
    return centred
