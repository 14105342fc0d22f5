"""Who plays the episodes of a GRPO step: TRL's tool loop, or that of evaluation and use, several times faster.

Both give equal episodes (a test plays both greedily) and score them with the same environment. TRL's is driven by
`environment_factory`, ours by `rollout_func`; both hooks are experimental and are used here and in `grpo` only.
"""

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

from recops.agent.environment import RecommendationEnvironment, environment_class, written_calls
from recops.agent.local_policy import LocalPolicy
from recops.agent.rollout import rollouts
from recops.agent.times import Span, Times, TurnTimes
from recops.config.agent import AgentConfig
from recops.config.policy import GrpoConfig
from recops.ranks import rank
from recops.records import Episode, Task
from recops.seeds import sub_seed
from recops.tools.toolbox import Toolbox, suite
from recops.train.episode_log import episode_metrics

LogMetric = Callable[[str, float], None]


class TrlLoop:
    """TRL plays: it calls the environments' tools; the reward function lets them score what was written."""

    __name__ = "episode"

    def __init__(self, toolbox: Toolbox, tokenizer: Any, config: GrpoConfig, agent: AgentConfig) -> None:
        self._toolbox, self._agent = toolbox, agent
        self._config, self._end = config, tokenizer.eos_token_id
        self.episodes: list[Episode] = []
        self.times: Times = {}

    def trainer_arguments(self) -> dict[str, Any]:
        """Return what makes TRL's trainer use this loop."""
        return {"environment_factory": environment_class(self._toolbox, self._agent)}

    def __call__(
        self,
        *,
        completions: Sequence[Any],
        completion_ids: Sequence[Sequence[int]],
        environments: Sequence[Any],
        log_metric: LogMetric,
        **_: Any,
    ) -> list[float]:
        """Return the reward of each episode and log what the step did: TRL's contract of a reward function."""
        self.episodes = [
            environment.finish(messages, truncated=ids[-1] != self._end, num_completion_tokens=len(ids))
            for environment, messages, ids in zip(environments, completions, completion_ids, strict=True)
        ]
        played = zip(environments, completions, strict=True)
        self.times = {place: list(_times_of_turns(*one)) for place, one in enumerate(played)}
        return _rewards(self.episodes, self._config, self._agent, log_metric)


class OwnLoop:
    """`recops.agent.rollout` plays; its tokens and the mask of what the model wrote go to TRL's loss.

    Sampling is seeded by step, not by torch's global generator: a resumed training plays what it would have played.
    """

    __name__ = "episode"

    def __init__(self, toolbox: Toolbox, tokenizer: Any, config: GrpoConfig, agent: AgentConfig, seed: int) -> None:
        self._toolbox, self._tokenizer, self._agent = toolbox, tokenizer, agent
        self._config, self._seed = config, seed
        self.episodes: list[Episode] = []
        self.times: Times = {}

    def trainer_arguments(self) -> dict[str, Any]:
        """Return what makes TRL's trainer use this loop."""
        return {"rollout_func": self._play}

    def _play(self, _prompts: Sequence[Any], trainer: Any) -> dict[str, Any]:
        """Play the rows of a step: TRL's contract of a rollout function."""
        tasks = [
            Task(self._toolbox.store.sample(row["sample_id"]), tuple(row["candidates"]), row["direction"])
            for row in trainer.rows
        ]
        self.times = {}
        played = rollouts(
            LocalPolicy(trainer.model, self._tokenizer, autocast=trainer.args.bf16),
            tasks,
            self._toolbox,
            self._agent,
            temperature=self._config.temperature,
            seed=sub_seed(self._seed, "step", trainer.state.global_step, *_of_worker()),
            batch_size=len(tasks),
            constrain_answers=self._config.constrain_answers,
            times=self.times,
        )
        self.episodes = [rollout.episode for rollout in played]
        return {
            "prompt_ids": [rollout.prompt_ids for rollout in played],
            "completion_ids": [rollout.completion_ids for rollout in played],
            "env_mask": [rollout.is_models for rollout in played],
            "logprobs": None,
        }

    def __call__(self, *, log_metric: LogMetric, **_: Any) -> list[float]:
        """Return the reward of each episode and log what the step did: TRL's contract of a reward function."""
        return _rewards(self.episodes, self._config, self._agent, log_metric)


def _of_worker() -> tuple[int, ...]:
    """What tells the draws of a worker from those of the first, which are those of a training with one."""
    return (rank(),) if rank() else ()


def _times_of_turns(
    environment: RecommendationEnvironment, messages: Sequence[Mapping[str, Any]]
) -> Iterator[TurnTimes]:
    """When TRL, which does not tell, had written each turn: when its first call was made, or the episode scored.

    A call of a tool that there is not, and one whose arguments are no object, are answered without being made.
    """
    made, since = iter(environment.call_times), environment.begun_ns
    last = len(messages) - 1
    for place, message in enumerate(messages):
        if message["role"] != "assistant":
            continue
        calls = [
            next(made) if name in environment.tool_names and isinstance(arguments, dict) else None
            for name, arguments in written_calls([message])
        ]
        first = next(filter(None, calls), None)
        ended = first.started_ns if first else time.time_ns() if place == last else since
        spans = []
        moment = ended
        for call in calls:
            spans.append(call or Span(moment, moment))
            moment = spans[-1].ended_ns
        yield TurnTimes(Span(since, ended), tuple(spans))
        since = moment


def _rewards(episodes: Sequence[Episode], config: GrpoConfig, agent: AgentConfig, log_metric: LogMetric) -> list[float]:
    for name, value in episode_metrics(episodes, config.group_size, tuple(suite(agent))).items():
        log_metric(name, value)
    return [episode.reward for episode in episodes]
