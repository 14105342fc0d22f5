"""Frozen records that cross modules."""

from dataclasses import dataclass
from enum import StrEnum
from typing import Any, Literal

SliceName = Literal["tool_fit", "policy_train", "valid", "test"]
Direction = Literal["rank", "more", "less"]

LABEL_ALPHABET = "ABCDEFGHIJKLMNOPQRSTUVWXYZ"


@dataclass(frozen=True, slots=True)
class Event:
    """One interaction of a user. `timestamp` in milliseconds since 1970 (UTC); `rating` may be absent."""

    item: int
    timestamp: int
    rating: float | None


@dataclass(frozen=True, slots=True)
class Sample:
    """One user at one moment, a closed candidate set, and the target that was taken next.

    `history` is oldest first and holds everything of the user strictly before the target, in (time, order in the
    file). Items are indices from 1 (0 is padding), users from 0.
    """

    sample_id: int
    user: int
    target: int
    timestamp: int
    slice: SliceName
    candidates: tuple[int, ...]
    history: tuple[Event, ...]
    target_is_warm: bool


@dataclass(frozen=True, slots=True)
class Task:
    """What one episode asks about a sample: `rank` the candidates, or pick the MORE or LESS likely of two.

    `request` is what the user asked for in words, empty where nothing was said.
    `opening` holds messages that follow the prompt as if the policy had begun so: it plays on from there.
    """

    sample: Sample
    candidates: tuple[int, ...]
    direction: Direction
    request: str = ""
    opening: tuple[dict[str, Any], ...] = ()

    @property
    def answer_item(self) -> int:
        """The item that a right answer names first."""
        if self.direction == "less":
            return next(item for item in self.candidates if item != self.sample.target)
        return self.sample.target


class AnswerError(StrEnum):
    """Why an answer is invalid."""

    NO_ANSWER = "no_answer"
    WRONG_LENGTH = "wrong_length"
    FOREIGN_LABEL = "foreign_label"
    REPEATED_LABEL = "repeated_label"
    UNKNOWN_TOOL = "unknown_tool"
    BAD_ARGUMENT = "bad_argument"
    TOO_MANY_CALLS = "too_many_calls"
    TRUNCATED = "truncated"
    ENDPOINT_FAILED = "endpoint_failed"


@dataclass(frozen=True, slots=True)
class Answer:
    """A parsed final message: the ranked items, best first, or why there are none."""

    ranking: tuple[int, ...]
    error: AnswerError | None


@dataclass(frozen=True, slots=True)
class Call:
    """One tool call as the model wrote it, and what it was answered."""

    tool: str
    arguments: dict[str, Any]
    answer: str
    failed: bool


@dataclass(frozen=True, slots=True)
class Episode:
    """One played task. `rewards` holds every term by name; their sum is the reward."""

    task: Task
    messages: tuple[dict[str, Any], ...]
    calls: tuple[Call, ...]
    answer: Answer
    rewards: dict[str, float]
    num_completion_tokens: int

    @property
    def reward(self) -> float:
        """Sum of the reward's terms."""
        return sum(self.rewards.values())


def label(position: int) -> str:
    """Return the name of the candidate at a 0-based position: A to Z, then AA, AB and so on."""
    high, low = divmod(position, len(LABEL_ALPHABET))
    return (LABEL_ALPHABET[high - 1] if high else "") + LABEL_ALPHABET[low]
