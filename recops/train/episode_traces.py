"""Some of the episodes that a policy was trained on, as traces and as a table: at the start, on the way, at the end.

Of a few steps, evenly spread over the training, the best and the worst episode of the first group are kept: what the
policy learns from is the difference between them. They are written with the checkpoint of their step: a training that
is stopped later plays on from there, and no step is told twice.
"""

from collections.abc import Sequence
from typing import Any

from transformers import TrainerCallback

from recops.agent.prompts import task_messages
from recops.agent.traces import episode_trace
from recops.config.agent import AgentConfig
from recops.records import Episode
from recops.stage_io import StageIO
from recops.tools.toolbox import Toolbox
from recops.traces import Trace
from recops.train.episode_rows import episode_row
from recops.train.tool_loops import OwnLoop, TrlLoop

TABLE = "sampled_episodes.json"
_TRACED_STEPS = 5
"""Each trace takes MLflow some hundredths of a second."""


class TraceCallback(TrainerCallback):
    """Takes episodes of a trainer's loop, and gives them to the tracker of its stage: traces, and rows of `TABLE`."""

    def __init__(
        self, io: StageIO, loop: OwnLoop | TrlLoop, toolbox: Toolbox, agent: AgentConfig, *, group_size: int
    ) -> None:
        self._io, self._loop, self._toolbox, self._agent = io, loop, toolbox, agent
        self._group_size = group_size
        self._traces: list[Trace] = []
        self._rows: list[dict[str, str | int | float]] = []

    def on_step_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Keep episodes of the step that has ended, if it is one of those."""
        if state.global_step in traced_steps(state.max_steps):
            self._keep(state.global_step)

    def on_save(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write what was kept: what follows the checkpoint is played again after an interruption."""
        self._write()

    def on_train_end(self, args: Any, state: Any, control: Any, **_: Any) -> None:
        """Write what was kept since the last checkpoint."""
        self._write()

    def _write(self) -> None:
        if self._traces:
            self._io.tracker.log_traces(self._traces)
        if self._rows:
            self._io.tracker.log_table(TABLE, self._rows)
        self._traces, self._rows = [], []

    def _keep(self, step: int) -> None:
        episodes, times = self._loop.episodes, self._loop.times
        for place in best_and_worst(episodes[: self._group_size]):
            episode = episodes[place]
            prompt = task_messages(episode.task, self._toolbox, self._agent)
            self._rows.append(episode_row(episode, step, prompt))
            # An episode whose prompt filled the context has no turn.
            if times[place]:
                tags = {"step": str(step)}
                size = len(episodes)
                self._traces.append(
                    episode_trace(self._io.stage, episode, times[place], prompt=prompt, batch_size=size, tags=tags)
                )


def traced_steps(num_steps: int) -> list[int]:
    """Return the steps, counted from 1, of which episodes are kept: the first, the last, and others evenly between."""
    count = min(_TRACED_STEPS, num_steps)
    return [1 + place * (num_steps - 1) // max(1, count - 1) for place in range(count)]


def best_and_worst(episodes: Sequence[Episode]) -> list[int]:
    """Return the place of the first episode with the highest reward, and of the first with the lowest if it differs."""
    rewards = [episode.reward for episode in episodes]
    return sorted({rewards.index(max(rewards)), rewards.index(min(rewards))})
