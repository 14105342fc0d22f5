"""The tools of a suite, bound to a data set: one door for prompts, environments and experts."""

import inspect
from collections.abc import Callable, Iterable, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recops.config.agent import AgentConfig
from recops.data.samples import SampleStore
from recops.errors import InputError
from recops.records import Task
from recops.retrieval.evidence import Evidence
from recops.tools.collaborative import get_similar_users, rank_by_next_item
from recops.tools.content import rank_by_similarity
from recops.tools.context import ToolContext
from recops.tools.errors import ToolError
from recops.tools.item import analyze_candidates, get_item_info, rank_by_popularity
from recops.tools.item_text import ItemText
from recops.tools.sanitize import Sanitizer
from recops.tools.user import get_user_history

ToolFunction = Callable[..., str]
TOOLS: dict[str, ToolFunction] = {
    function.__name__: function
    for function in (
        get_user_history,
        get_item_info,
        rank_by_next_item,
        rank_by_similarity,
        rank_by_popularity,
        get_similar_users,
        analyze_candidates,
    )
}
"""Every tool by name; the first parameter is the context, the others are what the model writes."""

_CACHED_ANSWERS = 65_536


class Toolbox:
    """Answers the calls of a suite's tools, read-only, within the time rules of `Evidence`."""

    def __init__(self, evidence: Evidence, agent: AgentConfig, *, control_tokens: Iterable[str] = ()) -> None:
        self.functions = suite(agent)
        self.evidence = evidence
        self.store: SampleStore = evidence.store
        self.sanitizer = Sanitizer(agent.max_title_characters, control_tokens)
        self.item_text = ItemText(self.store.items, self.sanitizer)
        self._agent = agent
        self._price_limits = _price_limits(self.store)
        self._answers: dict[tuple[int, tuple[int, ...], str, str], str] = {}

    @classmethod
    def load(
        cls, splits: Path, sasrec: Path, agent: AgentConfig, seed: int, *, control_tokens: Iterable[str] = ()
    ) -> "Toolbox":
        """Read the artefacts behind the tools.

        Args:
            splits: folder of `validated_splits`.
            sasrec: folder of `sasrec_embeddings`.
            agent: which tools there are, and their settings.
            seed: decides the order of ties.
            control_tokens: what no item text may spell, beside everything in angle brackets.

        Raises:
            InputError: the suite names a tool that does not exist.
        """
        suite(agent)
        return cls(Evidence.load(splits, sasrec, agent, seed), agent, control_tokens=control_tokens)

    def call(self, task: Task, name: str, arguments: Mapping[str, Any]) -> str:
        """Return the answer to one call.

        Raises:
            ToolError: the tool is not in the suite, or an argument is unknown, missing or wrong.
        """
        if name not in self.functions:
            raise ToolError(f"tool: found {name!r}; expected one of {', '.join(self.functions)}")
        check_names(self.functions[name], arguments)
        if task.sample.sample_id < 0:  # A sample that no artefact holds: its id names nothing.
            return self._computed(task, name, arguments)
        # The episodes of one group ask the same questions. `repr` keeps True, 1 and 1.0 apart, which are equal as keys.
        key = (task.sample.sample_id, task.candidates, name, repr(sorted(arguments.items())))
        if key not in self._answers:
            if len(self._answers) >= _CACHED_ANSWERS:
                self._answers.clear()
            self._answers[key] = self._computed(task, name, arguments)
        return self._answers[key]

    def _computed(self, task: Task, name: str, arguments: Mapping[str, Any]) -> str:
        context = ToolContext(task, self.evidence, self.item_text, self._agent, self._price_limits)
        return self.functions[name](context, **arguments)


def suite(agent: AgentConfig) -> dict[str, ToolFunction]:
    """Return the functions of the recipe's tools, in the recipe's order.

    Raises:
        InputError: a name is not one of `TOOLS`.
    """
    unknown = [name for name in agent.tools if name not in TOOLS]
    if unknown:
        step = f"Known tools: {', '.join(TOOLS)}."
        raise InputError("agent.tools", found=", ".join(unknown), expected="names of known tools", next_step=step)
    return {name: TOOLS[name] for name in agent.tools}


def parameters(function: ToolFunction) -> list[inspect.Parameter]:
    """Return what the model writes for a tool: its parameters without the context."""
    return list(inspect.signature(function).parameters.values())[1:]


def check_names(function: ToolFunction, arguments: Mapping[str, Any]) -> None:
    """Check that exactly the arguments of a tool are given.

    Raises:
        ToolError: one is unknown or missing.
    """
    expected = [parameter.name for parameter in parameters(function)]
    if set(arguments) != set(expected):
        found = ", ".join(map(str, arguments)) or "none"
        raise ToolError(f"arguments: found {found[:60]}; expected {', '.join(expected) or 'none'}")


def _price_limits(store: SampleStore) -> tuple[float, float]:
    prices = store.items["price"].drop_nulls().drop_nans().to_numpy()
    low, high = np.quantile(prices, [1 / 3, 2 / 3]) if len(prices) else (0.0, 0.0)
    return float(low), float(high)
