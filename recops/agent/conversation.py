"""One episode while it is played, in messages: takes the model's turns, makes the calls in them, and ends."""

import time
from typing import Any

from recops.agent.environment import RecommendationEnvironment
from recops.agent.prompts import tool_message
from recops.agent.times import Span, TurnTimes


class Conversation:
    """Collects the turns of one task and makes the calls in them.

    Attributes:
        number: place of the task among all that are played.
        messages: what followed the prompt: assistant and tool messages.
        done: no turn follows.
        truncated: the tokens ran out before the model ended its turn.
        times: of the turns that have been read, one for each assistant message.
    """

    def __init__(self, number: int, environment: RecommendationEnvironment) -> None:
        self.number, self.environment = number, environment
        self.messages: list[dict[str, Any]] = []
        self.done = self.truncated = False
        self.times: list[TurnTimes] = []
        self._since = 0

    def begin(self) -> None:
        """Start the clock of the first turn; each later one begins when the calls before it are answered."""
        self._since = time.time_ns()

    def close_turn(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """Take the parsed turn and return the answers to its calls; without calls the episode is done."""
        written = Span(self._since, time.time_ns())
        self.messages.append(message)
        calls = [call.get("function", call) for call in message.get("tool_calls") or ()]
        self.done = not calls
        answered = [self._timed_answer(call["name"], call["arguments"]) for call in calls]
        self.times.append(TurnTimes(written, tuple(span for _, span in answered)))
        self._since = time.time_ns()
        return [tool_message(call["name"], answer) for call, (answer, _) in zip(calls, answered, strict=True)]

    def _timed_answer(self, name: str, arguments: Any) -> tuple[str, Span]:
        started = time.time_ns()
        answer = self._answer(name, arguments)
        return answer, Span(started, time.time_ns())

    def _answer(self, name: str, arguments: Any) -> str:
        """Call a tool as TRL does: what fails is answered, and said in the same words."""
        try:
            if name not in self.environment.tool_names:
                raise ValueError(f"Tool {name} not found.")
            answer: str = getattr(self.environment, name)(**arguments)
        except Exception as error:
            if self.environment.internal_errors:
                raise
            return str({"error": str(error)})
        return answer
