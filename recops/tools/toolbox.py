"""The tools of a suite, bound to a data set: one door for prompts, environments and experts."""

import dataclasses
import inspect
from collections.abc import Callable, Iterable, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np

from recops.config.agent import AgentConfig
from recops.data.samples import SampleStore
from recops.errors import InputError
from recops.records import Task
from recops.retrieval.evidence import Evidence
from recops.tools.budget import BUDGETS, OWN_TOOL_CHARACTERS, within_budget
from recops.tools.collaborative import (
    get_similar_items,
    get_similar_users,
    rank_by_next_item,
    rank_by_taken_together,
)
from recops.tools.content import rank_by_similarity, search_catalog
from recops.tools.context import ToolContext
from recops.tools.errors import ToolError
from recops.tools.item import analyze_candidates, get_item_info, get_related_items, rank_by_popularity
from recops.tools.item_text import ItemText
from recops.tools.own import ToolFunction, own_tool
from recops.tools.prices import price_limits
from recops.tools.sanitize import Sanitizer
from recops.tools.user import get_rating_behavior, get_session_behavior, get_user_history, get_user_profile

TOOLS: dict[str, ToolFunction] = {
    function.__name__: function
    for function in (
        get_user_profile,
        get_user_history,
        get_session_behavior,
        get_rating_behavior,
        get_item_info,
        get_related_items,
        analyze_candidates,
        rank_by_popularity,
        get_similar_items,
        get_similar_users,
        rank_by_next_item,
        rank_by_taken_together,
        rank_by_similarity,
        search_catalog,
    )
}
"""Every tool of ours by name; the first parameter is the context, the others are what the model writes."""

_CACHED_ANSWERS = 65_536
_NO_ITEM = 0


def num_bytes(text: str) -> int:
    """Return an upper bound on the tokens of a text, whatever the tokenizer: none has more than one per byte."""
    return len(text.encode())


class Toolbox:
    """Answers the calls of a suite's tools, read-only, within the time rules of `Evidence`; threads may share it."""

    def __init__(
        self,
        evidence: Evidence,
        agent: AgentConfig,
        *,
        control_tokens: Iterable[str] = (),
        count_tokens: Callable[[str], int] = num_bytes,
    ) -> None:
        self.functions = suite(agent)
        _check_ratings(evidence.store, agent)
        self.evidence = evidence
        self.store: SampleStore = evidence.store
        self.sanitizer = Sanitizer(agent.max_title_characters, control_tokens)
        self.item_text = ItemText(self.store.items, self.sanitizer)
        self.count_tokens = count_tokens
        self._agent = agent
        self._price_limits = price_limits(self.store.items["price"])
        self._line_sanitizer = Sanitizer(OWN_TOOL_CHARACTERS, control_tokens, may_order=True)
        self._answers: dict[tuple[int, tuple[int, ...], str, str], str] = {}

    @classmethod
    def load(
        cls,
        splits: Path,
        sasrec: Path,
        agent: AgentConfig,
        seed: int,
        *,
        control_tokens: Iterable[str] = (),
        count_tokens: Callable[[str], int] = num_bytes,
    ) -> "Toolbox":
        """Read the artefacts behind the tools.

        Args:
            splits: folder of `validated_splits`.
            sasrec: folder of `sasrec_embeddings`.
            agent: which tools there are, and their settings.
            seed: decides the order of ties.
            control_tokens: what no item text may spell, beside everything in angle brackets.
            count_tokens: the policy's count of a text, by which `agent.memory` is bounded; without a tokenizer bytes,
                of which a text has at least as many.

        Raises:
            InputError: the suite names a tool that does not exist, or a rating is to be shown where nobody rated.
        """
        suite(agent)
        evidence = Evidence.load(splits, sasrec, agent, seed)
        return cls(evidence, agent, control_tokens=control_tokens, count_tokens=count_tokens)

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
        answer = self._answers.get(key)
        if answer is None:
            answer = self._computed(task, name, arguments)
            if len(self._answers) >= _CACHED_ANSWERS:
                self._answers.clear()
            self._answers[key] = answer
        return answer

    def context(self, task: Task) -> ToolContext:
        """Return what the prompt and the tools of a task may look at: everything but the target."""
        blind = dataclasses.replace(task.sample, target=_NO_ITEM, target_is_warm=False)
        return ToolContext(
            dataclasses.replace(task, sample=blind),
            self.evidence,
            self.item_text,
            self._agent,
            self._price_limits,
            self.sanitizer.clean,
        )

    def _computed(self, task: Task, name: str, arguments: Mapping[str, Any]) -> str:
        answer = self.functions[name](self.context(task), **arguments)
        if name in TOOLS:
            return within_budget(answer, BUDGETS[name])
        # Not one of ours: what it read elsewhere may hold anything.
        lines = [self._line_sanitizer.clean(line) for line in answer.splitlines()]
        return within_budget("\n".join(line for line in lines if line), OWN_TOOL_CHARACTERS)


def _check_ratings(store: SampleStore, agent: AgentConfig) -> None:
    """The catalogue's average rating holds later ratings: without any in the interactions there is nothing to show."""
    lists = {name: getattr(agent, name) for name in ("history_fields", "candidate_fields", "tool_fields")}
    asked = [f"agent.{name}" for name, fields in lists.items() if "rating" in fields]
    if asked and np.isnan(store.rating).all():
        step = f"Leave rating out of {', '.join(asked)}, or name the column of ratings in raw_data.source."
        raise InputError(asked[0], found="no rating in any interaction", expected="ratings to show", next_step=step)


def suite(agent: AgentConfig) -> dict[str, ToolFunction]:
    """Return the functions of the recipe's tools by name, in the recipe's order.

    Raises:
        InputError: a name is neither one of `TOOLS` nor a tool of an installed package, or two tools share a name.
    """
    functions: dict[str, ToolFunction] = {}
    for name in agent.tools:
        function = TOOLS.get(name) or own_tool(name, ours=tuple(TOOLS))
        if function.__name__ in functions:
            step = "Rename one of the functions: the agent calls tools by name."
            found = f"{name}, a second {function.__name__}"
            raise InputError("agent.tools", found=found, expected="one tool of a name", next_step=step)
        functions[function.__name__] = function
    return functions


@cache
def parameters(function: ToolFunction) -> tuple[inspect.Parameter, ...]:
    """Return what the model writes for a tool: its parameters without the context."""
    return tuple(inspect.signature(function).parameters.values())[1:]


def check_names(function: ToolFunction, arguments: Mapping[str, Any]) -> None:
    """Check that exactly the arguments of a tool are given.

    Raises:
        ToolError: one is unknown or missing.
    """
    expected = [parameter.name for parameter in parameters(function)]
    if set(arguments) != set(expected):
        found = ", ".join(map(str, arguments)) or "none"
        raise ToolError(f"arguments: found {found[:60]}; expected {', '.join(expected) or 'none'}")
