"""Episodes as traces: what the model read and wrote in each turn, each call with its answer, when, and the reward."""

import json
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from recops.agent.times import Span, TurnTimes
from recops.metrics import ABSENT, rank_of
from recops.records import Call, Episode
from recops.traces import Step, Trace

Message = dict[str, Any]


def episode_trace(
    system: str,
    episode: Episode,
    times: Sequence[TurnTimes],
    *,
    prompt: Sequence[Message],
    batch_size: int,
    tags: Mapping[str, str],
) -> Trace:
    """Return the trace of one episode.

    Args:
        system: who played it.
        episode: what was played.
        times: of each of its turns.
        prompt: what its first turn read.
        batch_size: how many episodes ran at a time.
        tags: what it is found by, beside `system`, `sample_id`, `direction` and `rank`, the place from 1 that the right
            answer was given.
    """
    rank = rank_of(episode.task.answer_item, episode.answer.ranking)
    told = {"sample_id": episode.task.sample.sample_id, "rank": None if rank == ABSENT else rank + 1}
    whole = Step(
        name=system,
        kind="AGENT",
        started_ns=times[0].written.started_ns,
        ended_ns=_end(times[-1]),
        inputs={"messages": list(prompt)},
        outputs={"answer": last_text(episode), **told},
        error=episode.answer.error,
        facts={
            "num_completion_tokens": episode.num_completion_tokens,
            "batch_size": batch_size,
            "what_times_mean": _meaning(batch_size),
        },
    )
    found_by = {name: str(value) for name, value in told.items()}
    return Trace(
        whole=whole,
        steps=tuple(_steps(episode, prompt, times)),
        tags={"system": system, "direction": episode.task.direction, **found_by, **tags},
        feedback={**episode.rewards, "reward": episode.reward},
    )


def _steps(episode: Episode, prompt: Sequence[Message], times: Sequence[TurnTimes]) -> Iterator[Step]:
    """Each turn with the calls in it; what the next one reads grows by the turn and by what its calls were answered."""
    read, calls, turns = list(prompt), iter(episode.calls), iter(times)
    for message in map(as_chat, episode.messages):
        if message["role"] == "assistant":
            turn = next(turns)
            yield _model_step({"messages": list(read)}, message, turn.written)
            for span in turn.calls:
                yield _tool_step(next(calls), span)
        read.append(message)
    left = next(turns, None), next(calls, None)
    assert left == (None, None), f"sample {episode.task.sample.sample_id}: a turn or a call is in no message: {left}"


def _model_step(inputs: Mapping[str, Any], message: Message, span: Span) -> Step:
    return Step("turn", "CHAT_MODEL", span.started_ns, span.ended_ns, inputs, message, error=None, facts={})


def _tool_step(call: Call, span: Span) -> Step:
    error = call.answer if call.failed else None
    return Step(call.tool, "TOOL", span.started_ns, span.ended_ns, call.arguments, call.answer, error=error, facts={})


def as_chat(message: Mapping[str, Any]) -> Message:
    """A message in the form of the chat protocol, whose arguments are text: MLflow's pages draw those."""
    if not message.get("tool_calls"):
        return dict(message)
    functions = [call.get("function", call) for call in message["tool_calls"]]
    calls = [
        {"type": "function", "function": {"name": one["name"], "arguments": _text(one["arguments"])}}
        for one in functions
    ]
    return {**message, "tool_calls": calls}


def _text(arguments: Any) -> str:
    return arguments if isinstance(arguments, str) else json.dumps(arguments, ensure_ascii=False)


def last_text(episode: Episode) -> str:
    """Return what the last message says, nothing where there is none."""
    return str(episode.messages[-1].get("content") or "") if episode.messages else ""


def _end(turn: TurnTimes) -> int:
    return max(span.ended_ns for span in (turn.written, *turn.calls))


def _meaning(batch_size: int) -> str:
    if batch_size == 1:
        return "Wall clock. The episode was played alone."
    return (
        f"Wall clock. Up to {batch_size} episodes were played at a time: a turn lasts from when the model could write "
        "it until it was read, and holds what the model wrote for the others meanwhile. A call is timed alone."
    )
