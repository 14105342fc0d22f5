"""One episode while it is played: its tokens, its messages, its environment, and when it ends."""

from dataclasses import dataclass
from typing import Any

from recops.agent.environment import RecommendationEnvironment
from recops.agent.prompts import tool_message
from recops.records import Episode


@dataclass(frozen=True, slots=True)
class Rollout:
    """A played episode with its tokens, for a trainer.

    Attributes:
        completion_ids: tokens after the prompt.
        is_models: 1 for those that the model wrote, 0 for those of the template and the tools: only the former learn.
    """

    episode: Episode
    prompt_ids: list[int]
    completion_ids: list[int]
    is_models: list[int]


class Player:
    """Collects what the model writes for one task and makes the calls in it.

    Attributes:
        number: place of the task among all that are played.
        pending: tokens that the model has not read yet.
        written: tokens after the prompt, tool answers included: what `max_completion_tokens` counts, as TRL does.
        done: no token follows.
    """

    def __init__(self, number: int, environment: RecommendationEnvironment, prompt: list[int], limit: int) -> None:
        self.number, self.environment = number, environment
        self.prompt, self.pending, self.limit = prompt, list(prompt), limit
        self.written: list[int] = []
        self._is_models: list[int] = []
        self.messages: list[dict[str, Any]] = []
        self.done = self.truncated = limit < 1
        self._turn_start = 0

    def take(self, token: int) -> None:
        """Append a token that the model wrote; it reads it next."""
        self.written.append(token)
        self._is_models.append(1)
        self.pending = [token]

    def turn(self) -> tuple[list[int], list[int]]:
        """Return the tokens of the running turn, and all that came before it."""
        return self.written[self._turn_start :], self.prompt + self.written[: self._turn_start]

    def close_turn(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """Take the parsed turn and return the answers to its calls; without calls the episode is done."""
        self.messages.append(message)
        calls = [call.get("function", call) for call in message.get("tool_calls") or ()]
        self.done = not calls
        return [tool_message(call["name"], self._answer(call["name"], call["arguments"])) for call in calls]

    def open_turn(self, answers: list[dict[str, Any]], tokens: list[int]) -> None:
        """Append the answers to the calls, or end the episode where they do not fit any more."""
        if len(self.written) + len(tokens) > self.limit:
            self.done = self.truncated = True
            return
        self.messages += answers
        self.written += tokens
        self._is_models += [0] * len(tokens)
        self.pending += tokens
        self._turn_start = len(self.written)
        self.done = self.truncated = len(self.written) >= self.limit

    def rollout(self) -> Rollout:
        """Return the scored episode and its tokens."""
        episode = self.environment.finish(
            self.messages, truncated=self.truncated, num_completion_tokens=len(self.written)
        )
        return Rollout(episode, self.prompt, self.written, self._is_models)

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
