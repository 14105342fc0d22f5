"""Terms of the reward that are not ours: functions of installed packages, by dotted name or entry point.

A term is paid for valid answers to list-wise tasks, as the ranking terms are. It is a pure function: an episode that is
scored again must have the same reward.
"""

import inspect
import math
import numbers
import re
import typing
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cache

from recops import foreign
from recops.agent.rewards import OWN
from recops.foreign import Door, load_named
from recops.records import Answer, Task
from recops.tools.context import ToolContext

_DOOR = Door("agent.reward.own", "recops.rewards", "terms", "docs/your_own_reward.md has a whole example.")
_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What an episode came to.

    Attributes:
        target: the item that was taken next; the term may see it, for it judges and does not answer.
        ranking: the items of the answer, best first.
        tools: names of the tools that were called, in order; a call that failed is among them.
    """

    target: int
    ranking: tuple[int, ...]
    tools: tuple[str, ...]


RewardFunction = Callable[[ToolContext, Outcome], float]


@cache
def own_terms(names: tuple[str, ...]) -> dict[str, RewardFunction]:
    """Return by name the functions that a recipe names, checked.

    Args:
        names: of each, `package.module.function`, or the name of an entry point of `recops.rewards`.

    Raises:
        InputError: there is no such module, function or entry point, a function cannot be a term, or two share a name.
    """
    functions: dict[str, RewardFunction] = {}
    for name in names:
        function = _checked(name, load_named(name, _DOOR, ours=()))
        if function.__name__ in functions:
            raise _DOOR.refused(name, f"a second {function.__name__}", "one term of a name")
        functions[function.__name__] = function
    return functions


def own_values(
    weights: Mapping[str, float],
    context: Callable[[Task], ToolContext],
    task: Task,
    answer: Answer,
    tools: Sequence[str],
) -> dict[str, float]:
    """Return every own term, weighted, by its prefixed name; 0 where it does not apply.

    Args:
        weights: the recipe's name of each term, and its weight.
        context: what the tools of a task may look at.
        task: what was asked.
        answer: what was answered.
        tools: names of the tools that were called.

    Raises:
        ValueError: a term returned what is no number from -1 to 1: a mistake of the package, which stops the stage.
    """
    functions = own_terms(tuple(weights))
    if not functions:
        return {}
    names = [f"{OWN}{function}" for function in functions]
    if answer.error is not None or task.direction != "rank":
        return dict.fromkeys(names, 0.0)
    outcome, seen = Outcome(task.sample.target, answer.ranking, tuple(tools)), context(task)
    values = [_valid(name, function(seen, outcome)) for name, function in zip(names, functions.values(), strict=True)]
    return {name: weight * value for name, weight, value in zip(names, weights.values(), values, strict=True)}


def source_sha256(names: Sequence[str]) -> dict[str, str]:
    """Return the hash of the file behind each term: a part of what made an artefact."""
    hashes = {name: foreign.source_sha256(function) for name, function in own_terms(tuple(names)).items()}
    return {name: digest for name, digest in hashes.items() if digest}


def _checked(name: str, function: object) -> RewardFunction:
    """Return a function that can be a term: two parameters, a float, a name of its own, a docstring."""
    if not inspect.isfunction(function):
        expected = "a function: def term(context: ToolContext, outcome: Outcome) -> float"
        raise _DOOR.refused(name, f"a {type(function).__name__}", expected)
    if not _NAME.fullmatch(function.__name__):
        raise _DOOR.refused(name, f"the function name {function.__name__}", "a name in lower case")
    try:
        returned = typing.get_type_hints(function).get("return")
    except NameError as error:
        raise _DOOR.refused(name, f"an annotation that cannot be resolved ({error})", "types that exist") from error
    if len(inspect.signature(function).parameters) != 2 or returned is not float:
        found = f"{function.__name__}{inspect.signature(function)}"
        raise _DOOR.refused(name, found, "(context: ToolContext, outcome: Outcome) -> float")
    if not (inspect.getdoc(function) or "").strip():
        raise _DOOR.refused(name, "no docstring", "a docstring that says what is paid for")
    return function


def _valid(name: str, value: object) -> float:
    number = float(value) if isinstance(value, numbers.Real) and not isinstance(value, bool) else math.nan
    if not abs(number) <= 1:
        raise ValueError(f"{name} returned {value!r}; a term is a number from -1 to 1, and its weight is the recipe's")
    return number
