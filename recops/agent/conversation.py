"""One episode while it is played, in messages: takes the model's turns, makes the calls in them, and ends."""

from typing import Any

from recops.agent.environment import RecommendationEnvironment
from recops.agent.prompts import tool_message


class Conversation:
    """Collects the turns of one task and makes the calls in them.

    Attributes:
        number: place of the task among all that are played.
        messages: what followed the prompt: assistant and tool messages.
        done: no turn follows.
        truncated: the tokens ran out before the model ended its turn.
    """

    def __init__(self, number: int, environment: RecommendationEnvironment) -> None:
        self.number, self.environment = number, environment
        self.messages: list[dict[str, Any]] = []
        self.done = self.truncated = False

    def close_turn(self, message: dict[str, Any]) -> list[dict[str, Any]]:
        """Take the parsed turn and return the answers to its calls; without calls the episode is done."""
        self.messages.append(message)
        calls = [call.get("function", call) for call in message.get("tool_calls") or ()]
        self.done = not calls
        return [tool_message(call["name"], self._answer(call["name"], call["arguments"])) for call in calls]

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
