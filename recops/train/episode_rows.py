"""An episode that a policy was trained on as a row of a table: what it was worth, and its whole text."""

from collections.abc import Sequence

from recops.agent.rewards import TERMS
from recops.agent.traces import Message, as_chat, last_text
from recops.metrics import ABSENT, rank_of
from recops.records import Episode


def episode_row(episode: Episode, step: int, prompt: Sequence[Message]) -> dict[str, str | int | float]:
    """Return plain values by column, the same columns for every episode of a training.

    `rank` is the place from 1 that the right answer was given, 0 where it has none; `error` is empty for a valid
    answer; `calls` names the tools in their order; `text` is everything that was read and written.
    """
    rank = rank_of(episode.task.answer_item, episode.answer.ranking)
    return {
        "step": step,
        "sample_id": episode.task.sample.sample_id,
        "direction": episode.task.direction,
        "reward": episode.reward,
        **{f"{TERMS}{name}": value for name, value in episode.rewards.items()},
        "rank": 0 if rank == ABSENT else rank + 1,
        "error": str(episode.answer.error or ""),
        "calls": ", ".join(call.tool for call in episode.calls),
        "failed_calls": sum(call.failed for call in episode.calls),
        "tokens": episode.num_completion_tokens,
        "answer": last_text(episode),
        "text": "\n\n".join(_told(message) for message in map(as_chat, (*prompt, *episode.messages))),
    }


def _told(message: Message) -> str:
    functions = [call["function"] for call in message.get("tool_calls") or ()]
    calls = [f"-> {function['name']}({function['arguments']})" for function in functions]
    return "\n".join([f"[{message['role']}]", *filter(None, [str(message.get("content") or "").strip()]), *calls])
