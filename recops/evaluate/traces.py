"""The episodes that a report shows, as traces with the times that were measured while they were played."""

from collections.abc import Callable
from functools import partial
from pathlib import Path

from recops.agent.local_policy import control_tokens_of, count_tokens_of, open_tokenizer
from recops.agent.prompts import task_messages
from recops.agent.traces import Message, episode_trace
from recops.config.agent import AgentConfig
from recops.evaluate.agent import times_file
from recops.evaluate.episode_times import read_times
from recops.evaluate.measured import Scene, kept_file
from recops.evaluate.page import Page, page_positions
from recops.records import Task
from recops.retrieval.evidence import Evidence
from recops.tools.toolbox import Toolbox
from recops.traces import Trace

Prompts = Callable[[Task], list[Message]]


def page_traces(scene: Scene, page: Page) -> list[Trace]:
    """Return the episodes of each policy that the page shows."""
    traces: list[Trace] = []
    for stage in scene.folders:
        [system] = [agent for agent in page.comparison.agents if agent.name == stage]
        kept = kept_file(scene, stage, "test", constrain=scene.config.constrain_answers)
        prompts = prompts_of(scene.folders[stage], scene.evidence, scene.agent)
        times, batch_size = read_times(times_file(kept)), scene.config.batch_size
        for place in page_positions(page):
            episode = system.episodes[place]
            prompt = prompts(episode.task)
            traces.append(episode_trace(stage, episode, times[place], prompt=prompt, batch_size=batch_size, tags={}))
    return traces


def prompts_of(folder: Path, evidence: Evidence, agent: AgentConfig) -> Prompts:
    """Return what gives the prompt of a task as the policy in `folder` reads it; the policy itself is not loaded."""
    tokenizer = open_tokenizer(folder)
    control_tokens, count_tokens = control_tokens_of(tokenizer), partial(count_tokens_of, tokenizer)
    toolbox = Toolbox(evidence, agent, control_tokens=control_tokens, count_tokens=count_tokens)
    return lambda task: task_messages(task, toolbox, agent)
