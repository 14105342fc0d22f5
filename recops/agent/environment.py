"""One episode as an environment: tools, budget and score, for TRL's tool loop and for ours.

TRL makes a tool of every public function of the class but `reset` and `get_reward`, reuses instances, and turns every
exception of a tool into an answer for the model. So the class has no other public function, `reset` rebuilds all the
state, and an exception that is not a `ToolError` is kept until `finish`, which raises it.
"""

import inspect
import time
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from recops.agent.answer import invalid, parse_answer
from recops.agent.own_rewards import own_terms, own_values
from recops.agent.rewards import reward_terms
from recops.agent.times import Span
from recops.config.agent import AgentConfig
from recops.records import Answer, AnswerError, Call, Direction, Episode, Task
from recops.tools.errors import ToolError
from recops.tools.own import ToolFunction
from recops.tools.toolbox import Toolbox, parameters, suite

REPEATED = "You asked this already."


class RecommendationEnvironment:
    """State of one episode; `environment_class` gives a subclass that has the suite's tools as methods.

    Attributes:
        task: what the episode asks.
        calls: the calls that reached a tool of the suite, in order.
        call_times: when each of them was answered.
        begun_ns: when the episode began, in nanoseconds since 1970 (UTC).
        internal_errors: how many exceptions were not the model's mistake.
        tool_names: what the model may call.
        begin: starts an episode of a task, also of a sample that no artefact holds (its id is negative).
        finish: scores the episode, see `_finish`. Both are attributes, because TRL would offer methods to the model.
    """

    _toolbox: Toolbox
    _agent: AgentConfig
    tool_names: frozenset[str]
    task: Task

    def __init__(self) -> None:
        self.calls: list[Call] = []
        self.call_times: list[Span] = []
        self.begun_ns = self.internal_errors = 0
        self._first_error: Exception | None = None
        self.begin: Callable[[Task], None] = self._begin
        self.finish: Callable[..., Episode] = self._finish

    def reset(self, *, sample_id: int, candidates: Sequence[int], direction: Direction, **_row: Any) -> None:
        """Start an episode over; the other columns of the row are TRL's own. Nothing is added to the prompt."""
        self.begin(Task(self._toolbox.store.sample(sample_id), tuple(candidates), direction))

    def _begin(self, task: Task) -> None:
        self.task = task
        self.calls, self.call_times = [], []
        self.begun_ns = time.time_ns()
        self.internal_errors = 0
        self._first_error = None

    def _call(self, name: str, arguments: dict[str, Any]) -> str:
        started = time.time_ns()
        try:
            return self._answered(name, arguments)
        finally:
            self.call_times.append(Span(started, time.time_ns()))

    def _answered(self, name: str, arguments: dict[str, Any]) -> str:
        try:
            if len(self.calls) >= self._agent.max_calls:
                raise ToolError(f"calls: found {len(self.calls) + 1}; expected at most {self._agent.max_calls}")
            answer = self._known(name, arguments) or self._toolbox.call(self.task, name, arguments)
        except ToolError as error:
            self.calls.append(Call(name, arguments, str(error), failed=True))
            raise
        except Exception as error:
            self.internal_errors += 1
            self._first_error = self._first_error or error
            raise
        self.calls.append(Call(name, arguments, answer, failed=False))
        return answer

    def _known(self, name: str, arguments: dict[str, Any]) -> str | None:
        """Return what a call is answered that was answered before in this episode: nothing new, in few tokens."""
        repeated = any((call.tool, call.arguments) == (name, arguments) and not call.failed for call in self.calls)
        return REPEATED if repeated else None

    def _finish(self, messages: Sequence[Mapping[str, Any]], *, truncated: bool, num_completion_tokens: int) -> Episode:
        """Return the scored episode.

        Args:
            messages: what followed the prompt: assistant and tool messages. The calls in them have been made.
            truncated: the tokens ran out before the model ended its turn.
            num_completion_tokens: tokens after the prompt, tool answers included.

        Raises:
            RuntimeError: a tool failed by our mistake.
        """
        if self._first_error is not None:
            count = f"{self.internal_errors} internal error(s) in tools"
            raise RuntimeError(f"{count}, sample {self.task.sample.sample_id}") from self._first_error
        calls, error = self._written_calls(messages)
        answer = invalid(error) if error else self._answer(messages, truncated)
        weights, tools = self._agent.reward, [call.tool for call in calls]
        rewards = reward_terms(self.task, answer, len(calls), weights)
        rewards |= own_values(weights.own, self._toolbox.context, self.task, answer, tools)
        kept = tuple(dict(message) for message in messages)
        return Episode(self.task, kept, tuple(calls), answer, rewards, num_completion_tokens)

    def _answer(self, messages: Sequence[Mapping[str, Any]], truncated: bool) -> Answer:
        last = messages[-1] if messages else None
        if truncated or last is None or last["role"] != "assistant" or last.get("tool_calls"):
            return invalid(AnswerError.TRUNCATED)
        return parse_answer(last["content"], self.task, self._agent)

    def _written_calls(self, messages: Sequence[Mapping[str, Any]]) -> tuple[list[Call], AnswerError | None]:
        """Return every call as the model wrote it, also those that no tool could answer, and the first mistake."""
        answered = iter(self.calls)
        calls: list[Call] = []
        first: AnswerError | None = None
        for name, arguments in written_calls(messages):
            call, error = self._judged(name, arguments, answered, len(calls) + 1)
            calls.append(call)
            first = first or error
        assert next(answered, None) is None, "a call was made that no message holds"
        return calls, first

    def _judged(self, name: str, arguments: Any, answered: Any, number: int) -> tuple[Call, AnswerError | None]:
        if name not in self.tool_names:
            shown = arguments if isinstance(arguments, dict) else {}
            return Call(name, shown, "unknown tool", failed=True), AnswerError.UNKNOWN_TOOL
        if not isinstance(arguments, dict):
            return Call(name, {}, "arguments are no object", failed=True), AnswerError.BAD_ARGUMENT
        call: Call | None = next(answered, None)
        assert call is not None, f"{name} was written but not called"
        assert (call.tool, call.arguments) == (name, arguments), f"{call} was made, {name} {arguments} written"
        if number > self._agent.max_calls:
            return call, AnswerError.TOO_MANY_CALLS
        return call, AnswerError.BAD_ARGUMENT if call.failed else None


def environment_class(toolbox: Toolbox, agent: AgentConfig) -> type[RecommendationEnvironment]:
    """Return an environment class with exactly the suite's tools as public methods.

    Raises:
        InputError: the recipe names a tool or a term of the reward that cannot be one.
    """
    own_terms(tuple(agent.reward.own))
    methods = {name: tool_method(function) for name, function in suite(agent).items()}
    services = {"_toolbox": toolbox, "_agent": agent, "tool_names": frozenset(methods)}
    return type(RecommendationEnvironment.__name__, (RecommendationEnvironment,), {**services, **methods})


def environments_of(tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig) -> list[RecommendationEnvironment]:
    """Return an environment per task, at the start of its episode."""
    environment, begun = environment_class(toolbox, agent), []
    for task in tasks:
        played = environment()
        # Not `reset`, which looks the sample up: a sample with a negative id is in no store.
        played.begin(task)
        begun.append(played)
    return begun


def tool_method(function: ToolFunction) -> Callable[..., str]:
    """Return a tool as a method: its signature without the context, its docstring unchanged, both read by TRL.

    It takes any arguments, for a call with a wrong name must reach the environment, not fail on the way to it.
    """
    name = function.__name__

    def method(self: RecommendationEnvironment, /, **arguments: Any) -> str:
        return self._call(name, arguments)

    written = parameters(function)
    this = inspect.Parameter("self", inspect.Parameter.POSITIONAL_OR_KEYWORD)
    keywords = [parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY) for parameter in written]
    method.__name__, method.__qualname__, method.__doc__ = name, name, function.__doc__
    method.__annotations__ = {parameter.name: parameter.annotation for parameter in written} | {"return": str}
    setattr(method, "__signature__", inspect.Signature([this, *keywords], return_annotation=str))  # noqa: B010
    return method


def written_calls(messages: Sequence[Mapping[str, Any]]) -> list[tuple[str, Any]]:
    """Return (name, arguments) of every tool call in assistant messages, in the order of writing."""
    functions = [
        call.get("function", call)
        for message in messages
        if message["role"] == "assistant"
        for call in message.get("tool_calls") or ()
    ]
    return [(function["name"], function["arguments"]) for function in functions]
