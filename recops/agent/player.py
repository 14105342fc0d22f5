"""One episode while it is played, in tokens: what was written, what the model has not read yet, and when it ends."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from recops.agent.chat import Chat
from recops.agent.conversation import Conversation
from recops.agent.environment import RecommendationEnvironment, environments_of
from recops.agent.prompts import task_messages
from recops.config.agent import AgentConfig
from recops.errors import InputError
from recops.records import Episode, Task
from recops.tools.toolbox import Toolbox


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


class Player(Conversation):
    """Collects the tokens that the model writes for one task.

    Attributes:
        pending: tokens that the model has not read yet.
        read: a number for what the model has read, equal for players to whom it has read the same; 0 for the prefix.
        written: tokens after the prompt, tool answers included: what `max_completion_tokens` counts, as TRL does.
        turn_start: where in `written` the running turn begins.
    """

    def __init__(self, number: int, environment: RecommendationEnvironment, prompt: list[int], limit: int) -> None:
        super().__init__(number, environment)
        self.prompt, self.pending, self.limit = prompt, list(prompt), limit
        self.written: list[int] = []
        self._is_models: list[int] = []
        self.done = self.truncated = limit < 1
        self.turn_start = self.read = 0

    def take(self, token: int) -> None:
        """Append a token that the model wrote; it reads it next."""
        self.written.append(token)
        self._is_models.append(1)
        self.pending = [token]

    def turn(self) -> tuple[list[int], list[int]]:
        """Return the tokens of the running turn, and all that came before it."""
        return self.written[self.turn_start :], self.prompt + self.written[: self.turn_start]

    def open_turn(self, answers: list[dict[str, Any]], tokens: list[int]) -> None:
        """Append the answers to the calls, or end the episode where they do not fit any more."""
        if len(self.written) + len(tokens) > self.limit:
            self.done = self.truncated = True
            return
        self.messages += answers
        self.written += tokens
        self._is_models += [0] * len(tokens)
        self.pending += tokens
        self.turn_start = len(self.written)
        self.done = self.truncated = len(self.written) >= self.limit

    def rollout(self) -> Rollout:
        """Return the scored episode and its tokens."""
        episode = self.environment.finish(
            self.messages, truncated=self.truncated, num_completion_tokens=len(self.written)
        )
        return Rollout(episode, self.prompt, self.written, self._is_models)


def players_of(
    tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig, *, chat: Chat, max_positions: int
) -> list[Player]:
    """Return a player per task, with its prompt in tokens.

    Raises:
        InputError: prompt and completion of a task have more tokens than the model reads.
    """
    prompts = chat.prompts([task_messages(task, toolbox, agent) for task in tasks])
    longest = max(map(len, prompts))
    if longest + agent.max_completion_tokens > max_positions:
        sample_id = tasks[[len(prompt) for prompt in prompts].index(longest)].sample.sample_id
        found = f"{longest} tokens of prompt (sample {sample_id}) and {agent.max_completion_tokens} of completion"
        step = "Lower agent.max_completion_tokens, history_length or the fields of items, or take a longer model."
        expected = f"at most {max_positions} together, as many as the model reads"
        raise InputError("context", found=found, expected=expected, next_step=step)
    limit = agent.max_completion_tokens
    environments = environments_of(tasks, toolbox, agent)
    return [Player(number, *pair, limit) for number, pair in enumerate(zip(environments, prompts, strict=True))]


def end_turns(players: Sequence[Player], chat: Chat) -> None:
    """Read the turns that have ended, make their calls, and begin the next turns with the tools' answers."""
    turns = []
    for player in players:
        answers = player.close_turn(chat.parse(*player.turn()))
        turns += [(player, answers)] if answers else []
    tokens = chat.tool_turns([answers for _, answers in turns])
    for (player, answers), ids in zip(turns, tokens, strict=True):
        player.open_turn(answers, ids)
