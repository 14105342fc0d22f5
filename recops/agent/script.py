"""The scripted expert: asks ordering tools, merges what they say, answers. It never looks at the target."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recops.agent.answer import num_expected
from recops.agent.environment import RecommendationEnvironment, environment_class
from recops.agent.fusion import Fusion, Ranks, Source, habits, read_order
from recops.agent.loops import episode_messages, leaders
from recops.config.agent import AgentConfig
from recops.records import Call, Episode, Task, label
from recops.tools.toolbox import Toolbox

Planned = Source | tuple[str, dict[str, Any]]
"""A call that orders the candidates, or one that describes: tool and arguments."""


@dataclass(frozen=True)
class Script:
    """How the expert plays.

    Attributes:
        ranking: merges orders of a whole candidate set.
        pairs: merges orders of two candidates.
        num_orders: least and greatest number of ordering calls. In `react` the number is drawn; in `analyze_plan_act`
            the least are planned together, and one more follows while the orders differ on the first candidate.
        explore_fraction: share of episodes with random sources in random order; the others ask the best set of their
            size, the most telling source first: a habit that greedy decoding can follow.
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
    fusion = script.ranking if task.direction == "rank" else script.pairs
    rounds: list[list[Call]] = []
    orders: dict[Source, Ranks] = {}
    for planned in _ROUNDS[agent.loop](task, agent, generator, script, fusion, environment.calls):
        rounds.append([_called(environment, one) for one in planned])
        for one, call in zip(planned, rounds[-1], strict=True):
            if isinstance(one, Source):
                orders[one] = read_order(call.answer, len(task.candidates))
    scores_K = fusion.scores(orders, habits(task, toolbox, agent)) if orders else np.zeros(len(task.candidates))
    labels = _answer(task, agent, generator, scores_K)
    messages = episode_messages(agent.loop, rounds, labels, task.direction)
    return environment.finish(messages, truncated=False, num_completion_tokens=0)


def _called(environment: RecommendationEnvironment, planned: Planned) -> Call:
    name, arguments = (planned.tool, planned.arguments) if isinstance(planned, Source) else planned
    method: Callable[..., str] = getattr(environment, name)
    method(**arguments)
    return environment.calls[-1]


def _react(
    task: Task, agent: AgentConfig, generator: np.random.Generator, script: Script, fusion: Fusion, _: Sequence[Call]
) -> Iterator[list[Planned]]:
    """A seeded number of sources, decided before the first call, one call a turn."""
    low, high = script.num_orders
    num_orders = min(int(generator.integers(low, high + 1)), len(fusion.sources), agent.max_calls)
    calls = _sources(generator, num_orders, script=script, fusion=fusion)
    looks = _looks(task, agent, generator)
    if looks and len(calls) < agent.max_calls and generator.random() < script.look_fraction:
        calls.insert(int(generator.integers(len(calls) + 1)), looks[int(generator.integers(len(looks)))])
    for call in calls:
        yield [call]


def _analyze_plan_act(
    task: Task, agent: AgentConfig, generator: np.random.Generator, script: Script, fusion: Fusion, made: Sequence[Call]
) -> Iterator[list[Planned]]:
    """A look now and then, the least number of sources as one plan, and one more while their orders differ."""
    low, high = (min(number, len(fusion.sources), agent.max_calls) for number in script.num_orders)
    sources = _sources(generator, high, script=script, fusion=fusion)
    looks = _looks(task, agent, generator)
    if looks and high < agent.max_calls and generator.random() < script.look_fraction:
        yield [looks[int(generator.integers(len(looks)))]]
    yield sources[:low]
    for source in sources[low:]:
        if len(leaders(made)) < 2:
            return
        yield [source]


_ROUNDS = {"react": _react, "analyze_plan_act": _analyze_plan_act}
"""Loop -> what the expert asks, round by round; the calls made so far are there to be looked at."""


def _sources(generator: np.random.Generator, count: int, *, script: Script, fusion: Fusion) -> list[Planned]:
    """Return so many sources: the best set, the most telling first, or now and then random ones in random order."""
    explores = generator.random() < script.explore_fraction
    order = generator.permutation(len(fusion.sources))[:count] if explores else fusion.best_first(count)
    return [fusion.sources[place] for place in order]


def _looks(task: Task, agent: AgentConfig, generator: np.random.Generator) -> list[tuple[str, dict[str, Any]]]:
    """The describing calls that the suite allows, with seeded arguments; a search needs a request, and has none."""
    limit, letter = int(generator.integers(1, 6)), label(int(generator.integers(len(task.candidates))))
    looks: dict[str, dict[str, Any]] = {
        "get_user_history": {"limit": limit},
        "get_item_info": {"candidate": letter},
        "analyze_candidates": {},
        "get_user_profile": {},
        "get_session_behavior": {},
        "get_rating_behavior": {},
        "get_related_items": {"item": letter},
        "get_similar_items": {"item": letter},
    }
    return [(name, arguments) for name, arguments in looks.items() if name in agent.tools]


def _answer(task: Task, agent: AgentConfig, generator: np.random.Generator, scores_K: NDArray[np.float64]) -> list[str]:
    """The labels by merged score, least likely first where the task asks for that; ties in seeded order."""
    wanted_K = -scores_K if task.direction == "less" else scores_K
    best_first = np.lexsort((generator.random(len(wanted_K)), -wanted_K))
    return [label(int(place)) for place in best_first[: num_expected(task, agent)]]
