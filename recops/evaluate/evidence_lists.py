"""Each evidence as a list of the candidates: the same orders that the agent's tools give, ties and unknowns included.

Shape suffixes: N samples, S evidence lists, K candidates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops.config.agent import AgentConfig
from recops.config.baselines import EvidenceName
from recops.progress import progress
from recops.records import Sample
from recops.retrieval.evidence import Evidence, Scores

SINGLE_LISTS: tuple[EvidenceName, ...] = (
    "popularity",
    "recent_popularity",
    "text_similarity",
    "similar_users",
    "sasrec",
)
"""What can be merged: everything but chance."""

_PURPOSES: dict[EvidenceName, str] = {
    "random": "random",
    "popularity": "rank_by_popularity/ever",
    "recent_popularity": "rank_by_popularity/recent",
    "text_similarity": "rank_by_similarity",
    "similar_users": "get_similar_users",
    "sasrec": "rank_by_next_item",
}
"""Evidence -> the name under which the agent's tool asks for the seeded order: equal lists here and there."""


@dataclass(frozen=True)
class EvidenceLists:
    """The lists of N samples.

    Attributes:
        sample_ids: the samples, shape (N,).
        users: their users, shape (N,).
        target_places: where the target stands among the candidates, shape (N,).
        target_is_warm: whether the target occurs in `tool_fit`, shape (N,).
        items: the candidates, shape (N, K).
        ranks: 0-based rank of each candidate in each list, unknown ones last, shape (N, S, K).
        unknown: whether the evidence cannot say, shape (N, S, K).
    """

    names: tuple[EvidenceName, ...]
    sample_ids: NDArray[np.int32]
    users: NDArray[np.int64]
    target_places: NDArray[np.int64]
    target_is_warm: NDArray[np.bool_]
    items: NDArray[np.int64]
    ranks: NDArray[np.int64]
    unknown: NDArray[np.bool_]

    def ranks_of(self, name: EvidenceName) -> NDArray[np.int64]:
        """Return the ranks in one list, shape (N, K)."""
        ranks: NDArray[np.int64] = self.ranks[:, self.names.index(name)]
        return ranks


def evidence_lists(
    evidence: Evidence, agent: AgentConfig, sample_ids: NDArray[np.int32], names: Sequence[EvidenceName]
) -> EvidenceLists:
    """Rank the frozen candidates of samples by each named evidence alone."""
    evidence.prepare(sample_ids.tolist())
    samples = [evidence.store.sample(int(sample_id)) for sample_id in sample_ids]
    shape = (len(samples), len(names), len(samples[0].candidates))
    ranks, unknown = np.empty(shape, dtype=np.int64), np.zeros(shape, dtype=np.bool_)
    with progress(f"ranking the {samples[0].slice} samples by each evidence", len(samples)) as meter:
        for row, sample in enumerate(samples):
            for column, name in enumerate(names):
                known_places, unknown_places = _order(evidence, agent, sample, name)
                ranks[row, column, known_places + unknown_places] = np.arange(shape[2])
                unknown[row, column, unknown_places] = True
            meter.advance()
    return EvidenceLists(
        names=tuple(names),
        sample_ids=sample_ids,
        users=np.asarray([sample.user for sample in samples], dtype=np.int64),
        target_places=np.asarray([sample.candidates.index(sample.target) for sample in samples], dtype=np.int64),
        target_is_warm=np.asarray([sample.target_is_warm for sample in samples], dtype=np.bool_),
        items=np.asarray([sample.candidates for sample in samples], dtype=np.int64),
        ranks=ranks,
        unknown=unknown,
    )


def _order(evidence: Evidence, agent: AgentConfig, sample: Sample, name: EvidenceName) -> tuple[list[int], list[int]]:
    scores = _scores(evidence, agent, name)(sample, sample.candidates)
    return evidence.order(scores, sample, sample.candidates, _PURPOSES[name])


def _scores(evidence: Evidence, agent: AgentConfig, name: EvidenceName) -> Callable[[Sample, Sequence[int]], Scores]:
    days = agent.popularity_window_days
    functions: dict[EvidenceName, Callable[[Sample, Sequence[int]], Scores]] = {
        "random": lambda _, items: np.zeros(len(items)),
        "popularity": lambda sample, items: evidence.popularity(sample, items, None),
        "recent_popularity": lambda sample, items: evidence.popularity(sample, items, days),
        "text_similarity": evidence.text_similarity,
        "similar_users": lambda sample, items: _taken_or_unknown(evidence.similar_users(sample, items)),
        "sasrec": evidence.next_item,
    }
    return functions[name]


def _taken_or_unknown(taken: Scores) -> Scores:
    """Similar users who took none of an item say nothing about it."""
    return np.where(taken > 0, taken, np.nan)
