"""Every single system's list of the frozen candidates, and the target's rank in the whole catalogue.

Shape suffixes: N samples, C samples of a chunk, S systems, K candidates, J = I + 1 columns for all items with padding.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops.evaluate.scorers import Scorer
from recops.evaluate.tool_answers import ToolAnswers
from recops.progress import progress
from recops.records import Sample
from recops.retrieval.evidence import Evidence, Scores
from recops.retrieval.ties import ranks_by_score, tie_breaks

_SCORES_PER_CHUNK = 4_000_000
"""Scores (samples x items) that are held at once, per system: 32 MB."""

Ranks = NDArray[np.int64]


@dataclass(frozen=True)
class CandidateLists:
    """The lists of N samples over one kind of frozen candidates.

    Attributes:
        sample_ids: the samples, shape (N,).
        users: their users, shape (N,).
        target_places: where the target stands among the candidates, shape (N,).
        target_is_warm: whether the target occurs in `tool_fit`, shape (N,).
        items: the candidates, shape (N, K).
        ranks: by system, the 0-based rank of each candidate, unknown ones last, shape (N, K).
        scores: by system, what the ranks follow from, NaN for unknown ones, shape (N, K).
        answers: what the agent's tools say about the same candidates.
    """

    sample_ids: NDArray[np.int32]
    users: NDArray[np.int64]
    target_places: NDArray[np.int64]
    target_is_warm: NDArray[np.bool_]
    items: NDArray[np.int64]
    ranks: dict[str, Ranks]
    scores: dict[str, Scores]
    answers: ToolAnswers

    def target_ranks(self, ranks_NK: Ranks) -> Ranks:
        """Return the target's rank in each list, shape (N,)."""
        ranks: Ranks = ranks_NK[np.arange(len(ranks_NK)), self.target_places]
        return ranks


def candidate_lists(
    evidence: Evidence, samples: Sequence[Sample], scores: Mapping[str, Scores], answers: ToolAnswers
) -> CandidateLists:
    """Return the lists of samples with candidates of one kind.

    A system that is a tool's order ranks as the tool answers; the others by their scores (N, K).
    """
    items_NK = candidate_items(samples)
    sample_ids = np.asarray([sample.sample_id for sample in samples], dtype=np.int32)
    ranks: dict[str, Ranks] = {name: order.places for name, order in answers.orders.items()}
    for name, scores_NK in scores.items():
        if name not in ranks:
            ranks[name] = ranks_by_score(scores_NK, seeded_ties(evidence, sample_ids, items_NK, name))
    return CandidateLists(
        sample_ids=sample_ids,
        users=np.asarray([sample.user for sample in samples], dtype=np.int64),
        target_places=np.asarray([sample.candidates.index(sample.target) for sample in samples], dtype=np.int64),
        target_is_warm=np.asarray([sample.target_is_warm for sample in samples], dtype=np.bool_),
        items=items_NK,
        ranks=ranks,
        scores=dict(scores),
        answers=answers,
    )


def candidate_items(samples: Sequence[Sample]) -> Ranks:
    """Return the candidates of each sample, shape (N, K)."""
    return np.asarray([sample.candidates for sample in samples], dtype=np.int64)


def seeded_ties(evidence: Evidence, sample_ids: NDArray[np.int32], items_NK: Ranks, purpose: str) -> NDArray[np.uint64]:
    """Return what orders ties of each sample's candidates, shape (N, K)."""
    return tie_breaks(items_NK, evidence.tie_seeds(sample_ids, purpose)[:, None])


def chunks_of(samples: Sequence[Sample], num_items: int) -> list[slice]:
    """Return consecutive parts of the samples, as many in one as scores of the whole catalogue fit into memory."""
    size = max(1, _SCORES_PER_CHUNK // (num_items + 1))
    return [slice(start, start + size) for start in range(0, len(samples), size)]


@dataclass(frozen=True)
class SliceScores:
    """What the single systems say about N samples.

    Attributes:
        candidates: by kind of candidates, then by system, their scores, (N, K).
        catalogue_ranks: by system, the target's 0-based rank among all items that the user has not taken, (N,).
    """

    candidates: dict[str, dict[str, Scores]]
    catalogue_ranks: dict[str, Ranks]


def score_slice(
    evidence: Evidence, scorers: Mapping[str, Scorer], samples: Sequence[Sample], item_sets: Mapping[str, Ranks]
) -> SliceScores:
    """Score the catalogue for each sample once, by every system, in chunks.

    Args:
        evidence: gives the order of ties.
        scorers: the systems.
        samples: N of them; their own candidates do not matter.
        item_sets: by kind of candidates, the items (N, K) whose scores are kept.
    """
    found = SliceScores(
        {kind: {name: np.empty(items.shape) for name in scorers} for kind, items in item_sets.items()},
        {name: np.empty(len(samples), dtype=np.int64) for name in scorers},
    )
    with progress(f"scoring the catalogue for {samples[0].slice} samples", len(samples) * len(scorers)) as meter:
        for chunk in chunks_of(samples, evidence.store.num_items):
            for name, scorer in scorers.items():
                scores_CJ = scorer(samples[chunk])
                for kind, items in item_sets.items():
                    found.candidates[kind][name][chunk] = np.take_along_axis(scores_CJ, items[chunk], axis=1)
                seeds_C = evidence.tie_seeds([one.sample_id for one in samples[chunk]], f"catalogue/{name}")
                found.catalogue_ranks[name][chunk] = _ranks_in_all(scores_CJ, samples[chunk], seeds_C)
                meter.advance(len(scores_CJ))
    return found


def _ranks_in_all(scores_CJ: Scores, samples: Sequence[Sample], seeds_C: NDArray[np.int64]) -> Ranks:
    """Rank the targets; items of equal score, and those without one, come in seeded order, the latter last."""
    targets_C = np.asarray([sample.target for sample in samples], dtype=np.int64)
    worth_CJ = np.where(np.isnan(scores_CJ), -np.inf, scores_CJ)
    shown_CJ = np.ones(worth_CJ.shape, dtype=np.bool_)
    shown_CJ[:, 0] = False
    rows = np.repeat(np.arange(len(samples)), [len(sample.history) for sample in samples])
    shown_CJ[rows, [event.item for sample in samples for event in sample.history]] = False
    target_C1 = np.take_along_axis(worth_CJ, targets_C[:, None], axis=1)
    ahead_C = ((worth_CJ > target_C1) & shown_CJ).sum(axis=1)
    tied_rows, tied_items = np.nonzero((worth_CJ == target_C1) & shown_CJ)
    mine = tie_breaks(targets_C, seeds_C)[tied_rows]
    before = tie_breaks(tied_items, seeds_C[tied_rows]) < mine
    ranks: Ranks = ahead_C + np.bincount(tied_rows[before], minlength=len(samples))
    return ranks
