"""What the agent's own tools answer about candidates: the orders that baselines are, and a learned ranker's features.

Everything is read from the text of the answers, so that a baseline ranks, and a ranker learns, what an agent can read.
Shape suffixes: N samples, K candidates, F features.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops.agent.fusion import Source, sources_of, tells_habits
from recops.config.agent import AgentConfig
from recops.config.baselines import EvidenceName
from recops.progress import progress
from recops.records import Sample, Task, label
from recops.retrieval.evidence import Evidence
from recops.tools.habits import HABIT_WORDS, HABITS, read_habits
from recops.tools.prices import BANDS
from recops.tools.toolbox import Toolbox
from recops.tools.user import MAX_EVENTS

ORDERS: dict[EvidenceName, Source] = {
    "popularity": Source("rank_by_popularity", "ever"),
    "recent_popularity": Source("rank_by_popularity", "recent"),
    "text_similarity": Source("rank_by_similarity", None),
    "similar_users": Source("get_similar_users", None),
    "taken_together": Source("rank_by_taken_together", None),
    "sasrec": Source("rank_by_next_item", None),
}
"""System -> the call whose answer it is."""

Places = NDArray[np.int64]
Features = NDArray[np.float32]


@dataclass(frozen=True)
class Order:
    """An ordering tool's answers: places (N, K), from 0, unknown candidates last as they are listed; and which these
    are (N, K)."""

    places: Places
    unknown: NDArray[np.bool_]


@dataclass(frozen=True)
class ToolAnswers:
    """Answers about N samples.

    Attributes:
        orders: by the system that the answers are; all of `ORDERS`.
        features: of every tool that the recipe's agent may call, shape (N, K, F), NaN where a tool does not know.
        names: of the features, F of them.
        visible: the systems whose order the recipe's agent may ask for.
    """

    orders: dict[EvidenceName, Order]
    features: Features
    names: tuple[str, ...]
    visible: tuple[EvidenceName, ...]


def ordering_toolbox(evidence: Evidence, agent: AgentConfig) -> Toolbox:
    """Return a toolbox with the recipe's tools, and with every ordering tool whether the agent has it or not."""
    ordering = (source.tool for source in ORDERS.values())
    tools = tuple(dict.fromkeys((*agent.tools, *ordering)))
    return Toolbox(evidence, agent.model_copy(update={"tools": tools}))


def tool_answers(toolbox: Toolbox, samples: Sequence[Sample], agent: AgentConfig) -> ToolAnswers:
    """Ask every tool that says something about all candidates at once.

    `get_item_info` is not among them: an agent cannot call it for every candidate within its budget.
    """
    toolbox.evidence.prepare(sample.sample_id for sample in samples)
    tasks = [Task(sample, sample.candidates, "rank") for sample in samples]
    with progress(f"asking the tools about {samples[0].slice} samples", len(tasks) * (len(ORDERS) + 1)) as meter:
        orders = {}
        for name, source in ORDERS.items():
            answers = [toolbox.call(task, source.tool, source.arguments) for task in tasks]
            orders[name] = _order(answers, len(tasks[0].candidates))
            meter.advance(len(tasks))
        described = _described(toolbox, tasks, agent)
        meter.advance(len(tasks))
    visible = tuple(name for name, source in ORDERS.items() if source in sources_of(agent))
    columns = {**_order_features({name: orders[name] for name in visible}), **described}
    features = np.stack(list(columns.values()), axis=2).astype(np.float32)
    return ToolAnswers(orders, features, tuple(columns), visible)


def _order(answers: Sequence[str], num_candidates: int) -> Order:
    places = np.empty((len(answers), num_candidates), dtype=np.int64)
    unknown = np.zeros((len(answers), num_candidates), dtype=np.bool_)
    of_label = {label(place): place for place in range(num_candidates)}
    for row, answer in enumerate(answers):
        lines = dict(line.split(":", 1) for line in answer.splitlines())
        ordered, unordered = ([of_label[name] for name in lines.get(head, "").split()] for head in ("Order", "Unknown"))
        places[row, ordered + unordered] = np.arange(num_candidates)
        unknown[row, unordered] = True
    return Order(places, unknown)


def _order_features(orders: dict[EvidenceName, Order]) -> dict[str, NDArray[np.float64]]:
    """The place in each order, and how many candidates the order does not know."""
    columns = {}
    for name, order in orders.items():
        columns[f"{name} place"] = np.where(order.unknown, np.nan, order.places)
        num_unknown = order.unknown.sum(axis=1, keepdims=True)
        columns[f"{name} unknown"] = np.broadcast_to(num_unknown, order.unknown.shape).astype(np.float64)
    return columns


def _described(toolbox: Toolbox, tasks: Sequence[Task], agent: AgentConfig) -> dict[str, NDArray[np.float64]]:
    """What the other tools say, each only where the agent may call it."""
    shape = (len(tasks), len(tasks[0].candidates))
    columns: dict[str, NDArray[np.float64]] = {}
    if "analyze_candidates" in agent.tools:
        groups = [read_groups(toolbox.call(task, "analyze_candidates", {}), shape[1]) for task in tasks]
        columns |= {name: np.stack([group[name] for group in groups]) for name in groups[0]}
    if tells_habits(agent):
        told = [read_habits(toolbox.call(task, "get_user_profile", {})) for task in tasks]
        for habit in HABITS:
            words = [float(HABIT_WORDS.index(one[habit])) if habit in one else np.nan for one in told]
            columns[f"comes back to {habit}"] = np.repeat(np.asarray(words)[:, None], shape[1], axis=1)
    if "get_user_history" in agent.tools:
        events = [toolbox.call(task, "get_user_history", {"limit": MAX_EVENTS}).splitlines() for task in tasks]
        days = [float(lines[0].rsplit("|", 1)[1].split()[0]) for lines in events]
        for name, values in (("events", [len(lines) for lines in events]), ("days since the last", days)):
            columns[name] = np.repeat(np.asarray(values, dtype=np.float64)[:, None], shape[1], axis=1)
    return columns


def read_groups(answer: str, num_candidates: int) -> dict[str, NDArray[np.float64]]:
    """Return what `analyze_candidates` says of each candidate, shape (K,) each, NaN where it says nothing.

    The place of its category among the categories (those of the history come first), how many candidates share that
    category, and its price band.
    """
    of_label = {label(place): place for place in range(num_candidates)}
    place, size, band = (np.full(num_candidates, np.nan) for _ in range(3))
    prices = {f"Price {name}": float(number) for number, name in enumerate(BANDS) if name != "unknown"}
    for number, line in enumerate(answer.splitlines()):
        head, _, labels = line.rpartition(":")
        members = [of_label[name] for name in labels.split()]
        if head in prices:
            band[members] = prices[head]
        elif head not in ("Other categories", "Price unknown"):
            place[members], size[members] = number, len(members)
    return {"category place": place, "category size": size, "price band": band}
