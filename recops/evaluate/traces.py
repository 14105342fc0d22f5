"""Episodes as traces: what the model read and wrote in each turn, each call with its answer, when, and the reward."""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from recops.agent.local_policy import control_tokens_of, count_tokens_of, open_tokenizer
from recops.agent.prompts import task_messages
from recops.agent.times import Span, TurnTimes
from recops.config.agent import AgentConfig
from recops.evaluate.agent import times_file
from recops.evaluate.episode_table import episode_rank
from recops.evaluate.episode_times import read_times
from recops.evaluate.measured import Scene, kept_file
from recops.evaluate.page import Page, page_positions
from recops.metrics import ABSENT
from recops.records import Call, Episode, Task
from recops.retrieval.evidence import Evidence
from recops.tools.toolbox import Toolbox
from recops.traces import Step, Trace

Message = dict[str, Any]
Prompts = Callable[[Task], list[Message]]


def page_traces(scene: Scene, page: Page) -> list[Trace]:
    """Return the episodes that the page shows, with the times that were measured while they were played."""
    traces: list[Trace] = []
    for stage in scene.folders:
        [system] = [agent for agent in page.comparison.agents if agent.name == stage]
        kept = kept_file(scene, stage, "test", constrain=scene.config.constrain_answers)
        prompts = prompts_of(scene.folders[stage], scene.evidence, scene.agent)
        times, batch_size = read_times(times_file(kept)), scene.config.batch_size
        traces += [
            episode_trace(stage, system.episodes[place], times[place], prompts=prompts, batch_size=batch_size)
            for place in page_positions(page)
        ]
    return traces


def prompts_of(folder: Path, evidence: Evidence, agent: AgentConfig) -> Prompts:
    """Return what gives the prompt of a task as the policy in `folder` reads it; the policy itself is not loaded."""
    tokenizer = open_tokenizer(folder)
    control_tokens, count_tokens = control_tokens_of(tokenizer), partial(count_tokens_of, tokenizer)
    toolbox = Toolbox(evidence, agent, control_tokens=control_tokens, count_tokens=count_tokens)
    return lambda task: task_messages(task, toolbox, agent)


def episode_trace(
    system: str, episode: Episode, times: Sequence[TurnTimes], *, prompts: Prompts, batch_size: int
) -> Trace:
    """Return the trace of one episode.

    Args:
        system: who played it.
        episode: what was played.
        times: of each of its turns.
        prompts: gives its prompt.
        batch_size: how many episodes ran at a time.
    """
    prompt = prompts(episode.task)
    rank = episode_rank(episode)
    told = {"sample_id": episode.task.sample.sample_id, "rank": None if rank == ABSENT else rank + 1}
    whole = Step(
        name=system,
        kind="AGENT",
        started_ns=times[0].written.started_ns,
        ended_ns=_end(times[-1]),
        inputs={"messages": prompt},
        outputs={"answer": _last_text(episode), **told},
        error=episode.answer.error,
        facts={
            "num_completion_tokens": episode.num_completion_tokens,
            "batch_size": batch_size,
            "what_times_mean": _meaning(batch_size),
        },
    )
    return Trace(
        whole=whole,
        steps=tuple(_steps(episode, prompt, times)),
        tags={"system": system, **{name: str(value) for name, value in told.items()}},
        feedback={**episode.rewards, "reward": episode.reward},
    )


def _steps(episode: Episode, prompt: Sequence[Message], times: Sequence[TurnTimes]) -> Iterator[Step]:
    """Each turn with the calls in it; what the next one reads grows by the turn and by what its calls were answered."""
    read, calls, turns = list(prompt), iter(episode.calls), iter(times)
    for message in map(_as_chat, episode.messages):
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


def _as_chat(message: Mapping[str, Any]) -> Message:
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


def _last_text(episode: Episode) -> str:
    return str(episode.messages[-1].get("content") or "")


def _end(turn: TurnTimes) -> int:
    return max(span.ended_ns for span in (turn.written, *turn.calls))


def _meaning(batch_size: int) -> str:
    if batch_size == 1:
        return "Wall clock. The episode was played alone."
    return (
        f"Wall clock. Up to {batch_size} episodes were played at a time: a turn lasts from when the model could write "
        "it until it was read, and holds what the model wrote for the others meanwhile. A call is timed alone."
    )
