"""The scripted expert: asks ordering tools, merges what they say, answers. It never looks at the target."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recops.agent.answer import num_expected
from recops.agent.environment import RecommendationEnvironment, environment_class
from recops.agent.fusion import Fusion, Ranks, Source, habits, read_order
from recops.agent.prompts import answer_message, call_message, tool_message
from recops.config.agent import AgentConfig
from recops.records import Episode, Task, label
from recops.tools.toolbox import Toolbox


@dataclass(frozen=True)
class Script:
    """How the expert plays.

    Attributes:
        ranking: merges orders of a whole candidate set.
        pairs: merges orders of two candidates.
        num_orders: least and greatest number of ordering calls.
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
    """Play one task by the script: the best set of tools or a seeded one, one call a turn, then the answer."""
    environment = environment_class(toolbox, agent)()
    environment.begin(task)
    fusion = script.ranking if task.direction == "rank" else script.pairs
    calls = _plan(task, agent, generator, script=script, fusion=fusion)
    messages: list[dict[str, Any]] = []
    orders: dict[Source, Ranks] = {}
    for call in calls:
        source, arguments = (call, call.arguments) if isinstance(call, Source) else (None, call[1])
        name = call.tool if isinstance(call, Source) else call[0]
        text = _called(environment, name, arguments)
        messages += [call_message(name, arguments), tool_message(name, text)]
        if source is not None:
            orders[source] = read_order(text, len(task.candidates))
    scores_K = fusion.scores(orders, habits(task, toolbox, agent)) if orders else np.zeros(len(task.candidates))
    labels = _answer(task, agent, generator, scores_K)
    messages.append(answer_message(labels, task.direction))
    return environment.finish(messages, truncated=False, num_completion_tokens=0)


def _called(environment: RecommendationEnvironment, name: str, arguments: Mapping[str, Any]) -> str:
    method: Callable[..., str] = getattr(environment, name)
    return method(**arguments)


def _plan(
    task: Task, agent: AgentConfig, generator: np.random.Generator, *, script: Script, fusion: Fusion
) -> list[Source | tuple[str, dict[str, Any]]]:
    low, high = script.num_orders
    num_orders = min(int(generator.integers(low, high + 1)), len(fusion.sources), agent.max_calls)
    explores = generator.random() < script.explore_fraction
    order = generator.permutation(len(fusion.sources))[:num_orders] if explores else fusion.best_first(num_orders)
    calls: list[Source | tuple[str, dict[str, Any]]] = [fusion.sources[place] for place in order]
    looks = _looks(task, agent, generator)
    if looks and len(calls) < agent.max_calls and generator.random() < script.look_fraction:
        calls.insert(int(generator.integers(len(calls) + 1)), looks[int(generator.integers(len(looks)))])
    return calls


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
