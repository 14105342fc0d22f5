"""What is expected of frozen candidate sets, by Great Expectations, whichever stage draws them."""

import polars as pl

from recops.data.bounds import Bound, all_rows, judge_facts
from recops.data.candidates import Items
from recops.data.expectations import SuiteResult
from recops.data.screening import sample_positions
from recops.data.table_facts import candidate_facts, negatives_in_history
from recops.seeds import sub_seed

CHECKED_HISTORIES = 2_000
"""Candidate sets of which every negative is looked up in its history."""
MAX_PLACE_EXCESS = 5.0
"""Standard errors; among a hundred even places one is beyond it once in 17,000 data sets."""

CANDIDATE_BOUNDS = (
    Bound("num_sets", 1, None, "at least one candidate set", None),
    Bound("sets_without_their_target_once", 0, 0, "the target exactly once in every candidate set", None),
    Bound("sets_with_a_repeat", 0, 0, "no candidate twice in a set", None),
    Bound("candidates_outside_the_catalogue", 0, 0, "candidates from the catalogue only", None),
    Bound("target_place_excess", 0, MAX_PLACE_EXCESS, "targets at every place alike", None, "warning"),
)
_HISTORY_BOUND = Bound("negatives_in_history", 0, 0, "no negative that the user had taken before", None)


def judge_candidates(
    name: str, samples: pl.DataFrame, *, items_N: Items, num_items: int, seed: int
) -> dict[str, SuiteResult]:
    """Return the suites of one kind of candidates: one over all sets, one over the histories of a seeded sample.

    Args:
        name: of the column; the second suite has `histories` in the place of `candidates`.
        samples: `target`, `history_start`, `history_end`, `candidates`.
        items_N: items of the interactions that histories point to.
        num_items: of the catalogue.
        seed: the recipe's.

    Raises:
        RuntimeError: a set breaks what its draw is to guarantee.
    """
    histories = name.replace("candidates", "histories")
    own = sub_seed(seed, "validation", histories)
    positions, seen = sample_positions(len(samples), size=CHECKED_HISTORIES, seed=own)
    facts = {"negatives_in_history": negatives_in_history(samples[positions], items_N)}
    whole = candidate_facts(samples, num_items)
    return {
        name: judge_facts(name, whole, CANDIDATE_BOUNDS, all_rows(len(samples))),
        histories: judge_facts(histories, facts, (_HISTORY_BOUND,), seen),
    }
