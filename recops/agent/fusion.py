"""How the scripted expert asks and merges: which orders for which users, and reciprocal ranks of which the first leads.

Score of a candidate = sum over the sources asked of weight / (constant + rank), rank from 0, nothing where a source
cannot score the candidate (reciprocal rank fusion: Cormack, Clarke and Buettcher 2009). The source that was asked first
weighs `lead_factor`, the others 1: the order of the calls says whom the answer follows, and the embedded policy is
taught the same rule. A *plan* is the sources in that order; for each group of users with the same habits it is the one
that ranked best on `policy_train`. Shapes: N tasks, K candidates, S sources.
"""

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recops.agent.rewards import CUTOFF
from recops.config.agent import AgentConfig, MergeConfig
from recops.metrics import ndcg_at_k
from recops.records import Task, label
from recops.tools.habits import read_habits
from recops.tools.toolbox import Toolbox

UNKNOWN = -1
_ALL_USERS_COUNT = 50
"""What a plan did for all users counts like so many users with the same habits: a handful cannot choose alone."""

Ranks = NDArray[np.int64]
Plan = tuple[int, ...]
"""Places of the sources to ask, the one that leads first."""
Habits = tuple[str, ...]
"""What the profile says of a user's habits, in its words; empty where the agent has no such profile."""


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
    Source("rank_by_taken_together", None),
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


def tells_habits(agent: AgentConfig) -> bool:
    """Whether the agent can ask for a user's habits."""
    return "get_user_profile" in agent.tools and "habits" in agent.profile_parts


def ask_habits(toolbox: Toolbox, tasks: Sequence[Task], agent: AgentConfig) -> list[Habits]:
    """Return what the profile says of the user of each task."""
    if not tells_habits(agent):
        return [() for _ in tasks]
    return [tuple(read_habits(toolbox.call(task, "get_user_profile", {})).values()) for task in tasks]


def reciprocal_ranks(ranks: Ranks, constant: float) -> NDArray[np.float64]:
    """Return what an order adds to each candidate, of the shape of `ranks`: 1 / (constant + rank), 0 if `UNKNOWN`."""
    known = ranks != UNKNOWN
    return np.where(known, 1.0 / (constant + np.where(known, ranks, 0)), 0.0)


def merged(parts: Sequence[NDArray[np.float64]], merge: MergeConfig) -> NDArray[np.float64]:
    """Return the sum of what the orders add, at least one, in the order of asking: the first leads."""
    weights = [merge.lead_factor, *(1.0 for _ in parts[1:])]
    weighted = [weight * part for weight, part in zip(weights, parts, strict=True)]
    return np.asarray(np.sum(weighted, axis=0), dtype=np.float64)


class Fusion:
    """Knows which plan ranks best for which habits, and scores candidates by a plan's orders."""

    def __init__(
        self,
        sources: Sequence[Source],
        ranks_NSK: Ranks,
        targets_N: Ranks,
        habits_N: Sequence[Habits],
        merge: MergeConfig,
    ) -> None:
        """Keep the tasks that plans are compared on.

        Args:
            sources: everything that may be asked.
            ranks_NSK: their answers.
            targets_N: place of the target among the candidates.
            habits_N: of each task's user.
            merge: how their orders are put together.
        """
        self.sources = tuple(sources)
        self._ranks_NSK, self._targets_N = ranks_NSK, targets_N
        self._groups = {one: [n for n, other in enumerate(habits_N) if other == one] for one in sorted(set(habits_N))}
        self._merge = merge
        self._plans: dict[int, dict[Habits, Plan]] = {}

    @classmethod
    def fit(cls, toolbox: Toolbox, tasks: Sequence[Task], agent: AgentConfig) -> "Fusion":
        """Ask everything about tasks of `policy_train`, all with the same number of candidates."""
        sources = sources_of(agent)
        targets_N = np.asarray([task.candidates.index(task.sample.target) for task in tasks], dtype=np.int64)
        return cls(sources, ask(toolbox, tasks, sources), targets_N, ask_habits(toolbox, tasks, agent), agent.merge)

    def scores(self, orders: Sequence[Ranks]) -> NDArray[np.float64]:
        """Return the score of each candidate, shape (..., K), from ranks (..., K) in the order of asking."""
        return merged([reciprocal_ranks(ranks, self._merge.rank_constant) for ranks in orders], self._merge)

    def plan(self, num_sources: int, habits: Habits) -> Plan:
        """Return the plan of so many sources for users with these habits; `()` asks for that of all users."""
        if num_sources not in self._plans:
            self._plans[num_sources] = self._best_plans(num_sources)
        of_habits = self._plans[num_sources]
        return of_habits.get(habits, of_habits[()])

    def _best_plans(self, num_sources: int) -> dict[Habits, Plan]:
        plans = list(self._all_plans(num_sources))
        gains_PN = np.stack([self.gains(plan) for plan in plans])
        of_all_P = gains_PN.mean(axis=1)
        best: dict[Habits, Plan] = {(): plans[int(of_all_P.argmax())]}
        for habits, members in self._groups.items():
            if habits:
                mean_P = (gains_PN[:, members].sum(axis=1) + _ALL_USERS_COUNT * of_all_P) / (
                    len(members) + _ALL_USERS_COUNT
                )
                best[habits] = plans[int(mean_P.argmax())]
        return best

    def _all_plans(self, num_sources: int) -> Iterator[Plan]:
        """Every set of so many sources with each of them in the lead; the others best first, for a habit to form."""
        alone = [float(self.gains((place,)).mean()) for place in range(len(self.sources))]
        for chosen in itertools.combinations(range(len(self.sources)), num_sources):
            for lead in chosen:
                yield (lead, *sorted((place for place in chosen if place != lead), key=lambda place: -alone[place]))

    def gains(self, plan: Plan) -> NDArray[np.float64]:
        """Return NDCG@10 of a plan on each task, shape (N,); equal scores share their ranks' mean."""
        scores_NK = self.scores([self._ranks_NSK[:, place] for place in plan])
        target_N1 = scores_NK[np.arange(len(scores_NK)), self._targets_N][:, None]
        ties_N = (scores_NK == target_N1).sum(axis=1) - 1
        return ndcg_at_k((scores_NK > target_N1).sum(axis=1) + ties_N // 2, CUTOFF)

    def described(self) -> dict[str, dict[str, dict[str, Any]]]:
        """Return, for each number of sources asked for, the plan of each group of habits, its size and its NDCG@10."""
        told: dict[str, dict[str, dict[str, Any]]] = {}
        for count, plans in sorted(self._plans.items()):
            everybody = list(range(len(self._targets_N)))
            told[f"{count} orders"] = {
                ", ".join(habits) or "all users": {
                    "asks": [self.sources[place].name for place in plan],
                    "users": len(members := self._groups[habits] if habits else everybody),
                    "ndcg": round(float(self.gains(plan)[members].mean()), 4),
                }
                for habits, plan in sorted(plans.items())
            }
        return told

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
