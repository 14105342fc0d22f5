"""How the scripted expert merges the tools' orders: weighted reciprocal ranks, weights fitted once per stage.

Score of a candidate = sum over the called sources of weight / (constant + rank), rank from 0, or of the source's
value of "unknown" where it cannot score the candidate (reciprocal rank fusion: Cormack, Clarke and Buettcher 2009).
A weight depends on what the prompt shows of the user: it is a base plus a slope for each habit, how often the items of
the history repeat a category, or another field that stands there. The weights maximise the likelihood of the target
among the candidates (conditional logit) for each set of sources.
Shapes: N tasks, K candidates, S sources, H habits.
"""

import itertools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize
from scipy.special import log_softmax, softmax

from recops.agent.rewards import CUTOFF
from recops.config.agent import AgentConfig
from recops.metrics import ndcg_at_k
from recops.records import Task, label
from recops.tools.toolbox import Toolbox

UNKNOWN = -1
_PENALTY = 1e-3

Ranks = NDArray[np.int64]
Habits = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Source:
    """A call that orders the candidates."""

    tool: str
    window: str | None

    @property
    def arguments(self) -> dict[str, Any]:
        """What the model writes."""
        return {} if self.window is None else {"window": self.window}

    @property
    def name(self) -> str:
        """Tool and argument, for reports."""
        return self.tool if self.window is None else f"{self.tool}/{self.window}"


_SOURCES = (
    Source("rank_by_next_item", None),
    Source("rank_by_similarity", None),
    Source("rank_by_popularity", "recent"),
    Source("rank_by_popularity", "ever"),
    Source("get_similar_users", None),
)

ORDERING_TOOLS = frozenset(source.tool for source in _SOURCES)
"""Tools whose answer is an order of the candidates."""


def sources_of(agent: AgentConfig) -> tuple[Source, ...]:
    """Return every ordering call that the suite allows."""
    return tuple(source for source in _SOURCES if source.tool in agent.tools)


def read_order(text: str, num_candidates: int) -> Ranks:
    """Return the rank of each candidate in an ordering tool's answer, shape (K,), `UNKNOWN` where it has none."""
    ranks_K = np.full(num_candidates, UNKNOWN, dtype=np.int64)
    places = {label(place): place for place in range(num_candidates)}
    for line in text.splitlines():
        if line.startswith("Order:"):
            for rank, name in enumerate(line.removeprefix("Order:").split()):
                ranks_K[places[name]] = rank
    return ranks_K


def ask(toolbox: Toolbox, tasks: Sequence[Task], sources: Sequence[Source]) -> Ranks:
    """Return what each source says about each task, shape (N, S, K); every task has K candidates."""
    answers = [
        [read_order(toolbox.call(task, source.tool, source.arguments), len(task.candidates)) for source in sources]
        for task in tasks
    ]
    return np.asarray(answers, dtype=np.int64)


def habits(task: Task, toolbox: Toolbox, agent: AgentConfig) -> Habits:
    """Return what the history in the prompt says of the user, shape (H,), one habit per field that stands there.

    A habit is the share of items, the first left out, whose field is that of an item before them: 1 for a user who
    never leaves a category, 0 for one who never comes back to one, and for a history of one item.
    """
    items = [event.item for event in task.sample.history[-agent.history_length :]]
    shown = [[toolbox.item_text.field(item, field) for item in items] for field in agent.history_fields]
    return np.asarray([(len(items) - len(set(values))) / max(1, len(items) - 1) for values in shown])


class Fusion:
    """Scores candidates by the orders of any set of sources; a set is fitted when it is first asked for."""

    def __init__(
        self,
        sources: Sequence[Source],
        ranks_NSK: Ranks,
        targets_N: Ranks,
        habits_NH: Habits,
        *,
        habit_names: Sequence[str],
        rank_constant: float,
    ) -> None:
        self.sources = tuple(sources)
        self._ranks_NSK, self._targets_N, self._habits_NH = ranks_NSK, targets_N, habits_NH
        self._habit_names, self._constant = tuple(habit_names), rank_constant
        self._weights: dict[tuple[int, ...], NDArray[np.float64]] = {}
        self._best: dict[int, tuple[int, ...]] = {}

    @classmethod
    def fit(cls, toolbox: Toolbox, tasks: Sequence[Task], agent: AgentConfig, rank_constant: float) -> "Fusion":
        """Learn from tasks of `policy_train`, all with the same number of candidates, which sources tell the target."""
        sources = sources_of(agent)
        targets_N = np.asarray([task.candidates.index(task.sample.target) for task in tasks], dtype=np.int64)
        habits_NH = np.stack([habits(task, toolbox, agent) for task in tasks])
        return cls(
            sources,
            ask(toolbox, tasks, sources),
            targets_N,
            habits_NH,
            habit_names=agent.history_fields,
            rank_constant=rank_constant,
        )

    def scores(self, orders: Mapping[Source, Ranks], habits_H: Habits) -> NDArray[np.float64]:
        """Return the score of each candidate, shape (K,), from the ranks (K,) that the asked sources gave."""
        chosen = tuple(sorted(self.sources.index(source) for source in orders))
        ranks_SK = np.stack([orders[self.sources[place]] for place in chosen])
        return self._features(ranks_SK, habits_H) @ self.weights(chosen)

    def weights(self, chosen: tuple[int, ...]) -> NDArray[np.float64]:
        """Return the fitted weights of a set of sources (ascending places): reciprocal ranks, then unknowns.

        The base comes first, then the slope of each habit: shape (2S * (1 + H),).
        """
        if chosen not in self._weights:
            self._weights[chosen] = self._fitted(chosen)
        return self._weights[chosen]

    def _features(self, ranks_SK: Ranks, habits_H: Habits) -> NDArray[np.float64]:
        """Turn ranks (..., S, K) and habits (..., H) into features (..., K, 2S * (1 + H))."""
        known = ranks_SK != UNKNOWN
        reciprocal = np.where(known, self._constant / (self._constant + np.where(known, ranks_SK, 0)), 0.0)
        plain = np.moveaxis(np.concatenate([reciprocal, ~known], axis=-2), -2, -1).astype(np.float64)
        sloped = [plain * habits_H[..., place, None, None] for place in range(habits_H.shape[-1])]
        return np.concatenate([plain, *sloped], axis=-1)

    def _fitted(self, chosen: tuple[int, ...]) -> NDArray[np.float64]:
        features_NKF = self._features(self._ranks_NSK[:, list(chosen)], self._habits_NH)
        rows_N = np.arange(len(self._targets_N))
        wanted_F = features_NKF[rows_N, self._targets_N].mean(axis=0)

        def loss(weights_F: NDArray[np.float64]) -> tuple[float, NDArray[np.float64]]:
            scores_NK = features_NKF @ weights_F
            likelihood = log_softmax(scores_NK, axis=1)[rows_N, self._targets_N].mean()
            expected_F = np.einsum("nk,nkf->f", softmax(scores_NK, axis=1), features_NKF) / len(rows_N)
            value = -likelihood + _PENALTY * float(weights_F @ weights_F)
            return float(value), expected_F - wanted_F + 2 * _PENALTY * weights_F

        start = np.zeros(features_NKF.shape[-1])
        start[: 2 * len(chosen)] = 1.0
        return np.asarray(minimize(loss, start, jac=True, method="L-BFGS-B").x, dtype=np.float64)

    def best(self, num_sources: int) -> tuple[int, ...]:
        """Return the set of so many sources (ascending places) that ranks the tasks of the fit best."""
        if num_sources not in self._best:
            sets = itertools.combinations(range(len(self.sources)), num_sources)
            self._best[num_sources] = max(sets, key=self.ndcg)
        return self._best[num_sources]

    def best_first(self, num_sources: int) -> tuple[int, ...]:
        """Return the places of `best`, the source that ranks best alone before the others."""
        return tuple(sorted(self.best(num_sources), key=lambda place: -self.ndcg((place,))))

    def ndcg(self, chosen: tuple[int, ...]) -> float:
        """Return NDCG@10 of a set of sources on the tasks of the fit; equal scores share their ranks' mean."""
        scores_NK = self._features(self._ranks_NSK[:, list(chosen)], self._habits_NH) @ self.weights(chosen)
        target_N1 = scores_NK[np.arange(len(scores_NK)), self._targets_N][:, None]
        ties_N = (scores_NK == target_N1).sum(axis=1) - 1
        return float(ndcg_at_k((scores_NK > target_N1).sum(axis=1) + ties_N // 2, CUTOFF).mean())

    def described(self) -> dict[str, dict[str, float]]:
        """Return the weights fitted so far: set of sources -> source, its value of "unknown", and their slopes."""
        sets = {}
        for chosen, weights_F in sorted(self._weights.items()):
            names = [self.sources[place].name for place in chosen]
            base = [*names, *(f"{name} unknown" for name in names)]
            sloped = [f"{name} x {habit}" for habit in self._habit_names for name in base]
            named = zip([*base, *sloped], weights_F, strict=True)
            sets[" + ".join(names)] = {name: round(float(weight), 6) for name, weight in named}
        return sets

    def single_ndcg(self) -> dict[str, float]:
        """Return NDCG@10 of each source alone on the tasks of the fit, unknown candidates last and at random.

        The expectation over their order is exact.
        """
        return {
            source.name: self._expected_ndcg(self._ranks_NSK[:, place]) for place, source in enumerate(self.sources)
        }

    def _expected_ndcg(self, ranks_NK: Ranks) -> float:
        gains_K = ndcg_at_k(np.arange(ranks_NK.shape[1]), CUTOFF)
        num_known_N = (ranks_NK != UNKNOWN).sum(axis=1)
        values = [
            gains_K[rank] if rank != UNKNOWN else gains_K[known:].mean()
            for rank, known in zip(ranks_NK[np.arange(len(ranks_NK)), self._targets_N], num_known_N, strict=True)
        ]
        return float(np.mean(values))
