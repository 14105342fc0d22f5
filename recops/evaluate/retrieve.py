"""From the whole catalogue to the few items that an agent ranks: several lists, merged by reciprocal ranks.

Items that nobody took before the moment were not there to be seen and are left out, and so is what the user has taken.
The merge is reciprocal rank fusion (Cormack, Clarke and Buettcher 2009) with equal weights. Shape suffix: I items that
can be found.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recops.config.agent import AgentConfig
from recops.errors import InputError
from recops.records import Sample
from recops.retrieval.evidence import Evidence, Scores

NUM_RETRIEVED = 50
TAKEN_TOGETHER = "taken_together"
_RANK_CONSTANT = 60

Items = NDArray[np.int64]


def retrieve(evidence: Evidence, sample: Sample, agent: AgentConfig, request: str = "") -> list[int]:
    """Return the items that a user may take next, best first: `NUM_RETRIEVED`, or all that there are.

    Items whose words match a request come first, the best match first; the user's own lists fill up.

    Raises:
        InputError: there is no item that could be found.
    """
    items_I = findable(evidence, sample)
    lists = user_lists(evidence, sample, agent, items_I)
    order = _merged(evidence, sample, items_I, lists)
    if request:
        matches_I = evidence.catalogue.match(request, items_I.tolist())
        matching, _ = evidence.order(matches_I, sample, items_I.tolist(), "request")
        order = _first_these(matching, order)
    return [int(items_I[place]) for place in order[:NUM_RETRIEVED]]


def retrieve_complements(evidence: Evidence, item: int, sample: Sample) -> list[int]:
    """Return what may go with an item, best first: taken together with it, then what is near it for SASRec.

    Args:
        evidence: the data; what was taken together is counted before the moment.
        item: what is to be completed.
        sample: the moment, with the item as the last of its history.

    Raises:
        InputError: there is no item that could be found.
    """
    items_I = findable(evidence, sample)
    lists = complement_lists(evidence, item, sample, items_I)
    together = ordered(evidence, sample, items_I, lists.pop(TAKEN_TOGETHER), f"retrieve/{TAKEN_TOGETHER}")
    order = _first_these(together, _merged(evidence, sample, items_I, lists))
    return [int(items_I[place]) for place in order[:NUM_RETRIEVED]]


def merged(orders: Sequence[Sequence[int]]) -> list[int]:
    """Return the items of several orders as one, by reciprocal ranks; of equal ones, those of the first order first."""
    scores: dict[int, float] = {}
    for order in orders:
        for rank, item in enumerate(order):
            scores[item] = scores.get(item, 0.0) + 1.0 / (_RANK_CONSTANT + rank)
    return sorted(scores, key=lambda item: -scores[item])


def findable(evidence: Evidence, sample: Sample) -> Items:
    """Return the items that somebody took before the moment and the user did not, ascending, shape (I,).

    Raises:
        InputError: there is none.
    """
    everything = range(1, evidence.store.num_items + 1)
    there_I = evidence.popularity(sample, everything, None) > 0
    there_I[[event.item - 1 for event in sample.history]] = False
    items_I = np.flatnonzero(there_I) + 1
    if not len(items_I):
        step = "Take a later moment, or a user who has not taken everything."
        raise InputError("catalogue", found="no item to recommend", expected="at least one", next_step=step)
    return items_I


def user_lists(evidence: Evidence, sample: Sample, agent: AgentConfig, items_I: Items) -> dict[str, Scores]:
    """Return what each kind of evidence says of the items, NaN where it cannot say, each of shape (I,)."""
    items = items_I.tolist()
    return {
        "next_item": evidence.next_item(sample, items),
        "similar_users": evidence.similar_users(sample, items),
        "text_similarity": evidence.text_similarity(sample, items),
        "recent_popularity": evidence.popularity(sample, items, agent.popularity_window_days),
    }


def complement_lists(evidence: Evidence, item: int, sample: Sample, items_I: Items) -> dict[str, Scores]:
    """Return what each kind of relation says of the items, NaN where there is none, each of shape (I,)."""
    near, weights = evidence.catalogue.taken_together(item, sample.timestamp)
    together_J = np.full(evidence.store.num_items + 1, np.nan)
    together_J[near] = weights
    return {
        TAKEN_TOGETHER: together_J[items_I],
        "similar_items": evidence.catalogue.similarity(item, items_I.tolist()),
        "next_item": evidence.next_item(sample, items_I.tolist()),
    }


def ordered(evidence: Evidence, sample: Sample, items_I: Items, scores_I: Scores, purpose: str) -> list[int]:
    """Return places of items by one score, best first; those without a score are left out."""
    ranked, _ = evidence.order(scores_I, sample, items_I.tolist(), purpose)
    return ranked


def _merged(evidence: Evidence, sample: Sample, items_I: Items, lists: Mapping[str, Scores]) -> list[int]:
    """Return the places of all items, best first."""
    merged_I = np.zeros(len(items_I))
    for name, scores_I in lists.items():
        ranked = ordered(evidence, sample, items_I, scores_I, f"retrieve/{name}")
        merged_I[ranked] += 1.0 / (_RANK_CONSTANT + np.arange(len(ranked)))
    return ordered(evidence, sample, items_I, merged_I, "retrieve")


def _first_these(first: Sequence[int], order: Sequence[int]) -> list[int]:
    there = set(first)
    return [*first, *(place for place in order if place not in there)]
