"""Tools that are not ours: functions of installed packages, by dotted name or by entry point of `recops.tools`.

Nothing is imported but what the recipe names. A function becomes a tool when the model can be told of it (typed
parameters, docstring with a line for each) and held to it; whatever is missing is said before anything runs.
"""

import inspect
import json
import re
import typing
from collections.abc import Callable, Sequence
from typing import Any

from pydantic import TypeAdapter, ValidationError

from recops import foreign
from recops.foreign import Door, load_named
from recops.tools.errors import ToolError

ToolFunction = Callable[..., str]

_NAME = re.compile(r"[a-z][a-z0-9_]{0,63}")
_RESERVED = ("reset", "get_reward", "begin", "finish")
"""Names that the environment has beside its tools."""
_DOOR = Door("agent.tools", "recops.tools", "tools", "docs/your_own_tool.md has a whole example.")


def own_tool(name: str, *, ours: Sequence[str]) -> ToolFunction:
    """Return the tool that a recipe's name stands for, checked.

    Args:
        name: `package.module.function`, or the name of an entry point of `recops.tools`.
        ours: names that are taken.

    Raises:
        InputError: there is no such module, function or entry point, or the function cannot be a tool.
    """
    return _checked(name, load_named(name, _DOOR, ours=ours), ours)


def source_sha256(names: Sequence[str], *, ours: Sequence[str]) -> dict[str, str]:
    """Return the hash of the file behind each tool that is not ours: a part of what made an artefact."""
    hashes = {name: foreign.source_sha256(own_tool(name, ours=ours)) for name in names if name not in ours}
    return {name: digest for name, digest in hashes.items() if digest}


def _checked(name: str, function: Any, ours: Sequence[str]) -> ToolFunction:
    """Return the function with its arguments and its answer checked at each call."""
    if not inspect.isfunction(function):
        raise _DOOR.refused(
            name, f"a {type(function).__name__}", "a function: def tool(context: ToolContext, ...) -> str"
        )
    tool_name = function.__name__
    if not _NAME.fullmatch(tool_name) or tool_name in _RESERVED or tool_name in ours:
        raise _DOOR.refused(name, f"the function name {tool_name}", "a name in lower case that no other tool has")
    types = _types(name, function)
    adapters = {parameter: TypeAdapter(kind) for parameter, kind in types.items()}
    context_name = next(iter(inspect.signature(function).parameters))

    def tool(context: Any, **arguments: Any) -> str:
        checked = {one: _valid(one, value, adapters[one]) for one, value in arguments.items()}
        answer = function(context, **checked)
        if not isinstance(answer, str):
            raise TypeError(f"{name} answered {type(answer).__name__}; a tool answers text")
        return answer

    keyword = inspect.Parameter.KEYWORD_ONLY
    signature = inspect.Signature(
        [
            inspect.Parameter(context_name, inspect.Parameter.POSITIONAL_ONLY),
            *(inspect.Parameter(one, keyword, annotation=kind) for one, kind in types.items()),
        ],
        return_annotation=str,
    )
    tool.__name__, tool.__doc__ = tool_name, inspect.getdoc(function)
    setattr(tool, "__signature__", signature)  # noqa: B010
    setattr(tool, "__wrapped__", function)  # noqa: B010
    return tool


def _types(name: str, function: Callable[..., Any]) -> dict[str, Any]:
    """Return parameter -> type of what the model writes; the first parameter is the context."""
    try:
        hints = typing.get_type_hints(function)
    except NameError as error:
        raise _DOOR.refused(name, f"an annotation that cannot be resolved ({error})", "types that exist") from error
    parameters = list(inspect.signature(function).parameters.values())
    if not parameters:
        raise _DOOR.refused(name, "a function without parameters", "the context as the first parameter")
    for parameter in parameters:
        if (
            parameter.kind in (parameter.VAR_POSITIONAL, parameter.VAR_KEYWORD)
            or parameter.default is not parameter.empty
        ):
            raise _DOOR.refused(name, f"the parameter {parameter}", "named parameters without defaults")
    if hints.get("return") is not str:
        raise _DOOR.refused(name, "another return type", "-> str")
    types = {parameter.name: hints.get(parameter.name) for parameter in parameters[1:]}
    for one, kind in types.items():
        if kind not in (str, int, float, bool) and typing.get_origin(kind) is not typing.Literal:
            raise _DOOR.refused(name, f"{one} of type {kind}", "str, int, float, bool or Literal")
    _check_docstring(name, inspect.getdoc(function) or "", types)
    return types


def _check_docstring(name: str, text: str, parameters: typing.Iterable[str]) -> None:
    """The docstring is what the model reads: what the tool tells, and a line for each argument."""
    if not text.split("\n\n")[0].strip():
        raise _DOOR.refused(name, "no docstring", "a docstring that says what the tool tells: the model reads it")
    _, _, arguments = text.partition("Args:")
    missing = [one for one in parameters if not re.search(rf"^\s+{one}\s*:\s*\S", arguments, re.MULTILINE)]
    if missing:
        raise _DOOR.refused(
            name, f"no line for {', '.join(missing)} in the docstring", "Args: with `name: text` for each"
        )


def _valid(name: str, value: object, adapter: TypeAdapter[Any]) -> Any:
    try:
        return adapter.validate_python(value, strict=True)
    except ValidationError as error:
        shown = json.dumps(value, default=repr)[:40]
        raise ToolError(f"{name}: found {shown}; {error.errors()[0]['msg']}") from error
