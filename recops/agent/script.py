"""The scripted expert: asks ordering tools, merges what they say, answers. It never looks at the target."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recops.agent.answer import num_expected
from recops.agent.environment import RecommendationEnvironment, environment_class
from recops.agent.fusion import Fusion, Plan, Ranks, Source, read_order, tells_habits
from recops.agent.loops import episode_messages, leaders
from recops.config.agent import AgentConfig
from recops.records import Call, Episode, Task, label
from recops.tools.habits import read_habits
from recops.tools.toolbox import Toolbox

Look = tuple[str, dict[str, Any]]
"""A call that describes: tool and arguments."""
Planned = Source | Look
"""A call that orders the candidates, or one that describes."""


@dataclass(frozen=True)
class Script:
    """How the expert plays.

    Attributes:
        ranking: merges orders of a whole candidate set.
        pairs: merges orders of two candidates.
        num_orders: least and greatest number of ordering calls. In `react` the number is drawn; in `analyze_plan_act`
            the least are planned together, and one more follows while the orders differ on the first candidate.
        explore_fraction: share of episodes with random sources in random order; the others follow the plan for the
            habits of the user, which greedy decoding can follow too.
        look_fraction: share of episodes with one call more that describes and does not order.
    """

    ranking: Fusion
    pairs: Fusion
    num_orders: tuple[int, int]
    explore_fraction: float
    look_fraction: float


def scripted_episode(
    task: Task, toolbox: Toolbox, agent: AgentConfig, generator: np.random.Generator, *, script: Script
) -> Episode:
    """Play one task by the script, in the turns of the recipe's loop: the best set of tools or a seeded one, merged."""
    environment = environment_class(toolbox, agent)()
    environment.begin(task)
    return _Play(environment, task, agent, generator, script).episode()


def opening_calls(agent: AgentConfig) -> list[Look]:
    """Return what the expert asks before any order: the user's habits, where they can be asked for."""
    return [("get_user_profile", {})] if tells_habits(agent) else []


class _Play:
    """One episode of the expert."""

    def __init__(
        self,
        environment: RecommendationEnvironment,
        task: Task,
        agent: AgentConfig,
        generator: np.random.Generator,
        script: Script,
    ) -> None:
        self._environment, self._task, self._agent = environment, task, agent
        self._generator, self._script = generator, script
        self._fusion = script.ranking if task.direction == "rank" else script.pairs
        self._explores = generator.random() < script.explore_fraction
        self._orders: list[Ranks] = []

    def episode(self) -> Episode:
        task, loop = self._task, self._agent.loop
        turns = self._react() if loop == "react" else self._analyze_plan_act()
        rounds = [[self._called(one) for one in planned] for planned in turns]
        scores_K = self._fusion.scores(self._orders) if self._orders else np.zeros(len(task.candidates))
        messages = episode_messages(loop, rounds, self._answer(scores_K), task.direction)
        return self._environment.finish(messages, truncated=False, num_completion_tokens=0)

    def _react(self) -> Iterator[list[Planned]]:
        """A seeded number of sources, decided before the first call, one call a turn."""
        yield from self._opening()
        low, high = self._num_orders()
        calls: list[Planned] = list(self._sources(int(self._generator.integers(low, high + 1))))
        look = self._look(len(calls))
        if look is not None:
            calls.insert(int(self._generator.integers(len(calls) + 1)), look)
        for call in calls:
            yield [call]

    def _analyze_plan_act(self) -> Iterator[list[Planned]]:
        """A look now and then, the least number of sources as one plan, and one more while their orders differ."""
        yield from self._opening()
        low, high = self._num_orders()
        sources, look = self._sources(high), self._look(high)
        if look is not None:
            yield [look]
        if low:
            yield list(sources[:low])
        for source in sources[low:]:
            if len(leaders(self._environment.calls)) < 2:
                return
            yield [source]

    def _opening(self) -> Iterator[list[Planned]]:
        for look in opening_calls(self._agent):
            yield [look]

    def _num_orders(self) -> tuple[int, int]:
        room = self._agent.max_calls - len(opening_calls(self._agent))
        low, high = (min(number, len(self._fusion.sources), room) for number in self._script.num_orders)
        return low, high

    def _sources(self, count: int) -> list[Source]:
        """Return so many sources: the plan for the habits that the user was found to have, or random ones."""
        if not count:
            return []
        if self._explores:
            plan: Plan = tuple(int(place) for place in self._generator.permutation(len(self._fusion.sources))[:count])
        else:
            told = [read_habits(call.answer) for call in self._environment.calls if call.tool == "get_user_profile"]
            plan = self._fusion.plan(count, tuple(told[0].values()) if told else ())
        return [self._fusion.sources[place] for place in plan]

    def _look(self, num_orders: int) -> Look | None:
        """Return a describing call now and then, where there is room; a search needs a request, and has none."""
        limit, place = int(self._generator.integers(1, 6)), int(self._generator.integers(len(self._task.candidates)))
        looks: dict[str, dict[str, Any]] = {
            "get_user_history": {"limit": limit},
            "get_item_info": {"candidate": label(place)},
            "analyze_candidates": {},
            "get_user_profile": {},
            "get_session_behavior": {},
            "get_rating_behavior": {},
            "get_related_items": {"item": label(place)},
            "get_similar_items": {"item": label(place)},
        }
        opening = opening_calls(self._agent)
        allowed = [one for one in looks.items() if one[0] in self._agent.tools and one not in opening]
        if not allowed or num_orders + len(opening) >= self._agent.max_calls:
            return None
        look = allowed[int(self._generator.integers(len(allowed)))]
        return look if self._generator.random() < self._script.look_fraction else None

    def _called(self, planned: Planned) -> Call:
        name, arguments = (planned.tool, planned.arguments) if isinstance(planned, Source) else planned
        method: Callable[..., str] = getattr(self._environment, name)
        method(**arguments)
        call = self._environment.calls[-1]
        if isinstance(planned, Source):
            self._orders.append(read_order(call.answer, len(self._task.candidates)))
        return call

    def _answer(self, scores_K: NDArray[np.float64]) -> list[str]:
        """The labels by merged score, least likely first where the task asks for that; ties in seeded order."""
        wanted_K = -scores_K if self._task.direction == "less" else scores_K
        best_first = np.lexsort((self._generator.random(len(wanted_K)), -wanted_K))
        return [label(int(place)) for place in best_first[: num_expected(self._task, self._agent)]]
