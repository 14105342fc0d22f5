"""Who plays the episodes that SFT imitates: a script, the policy itself, a stronger model elsewhere, people."""

import dataclasses
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recops import interrupt
from recops.agent.backends import load_policy
from recops.agent.endpoint_policy import EndpointPolicy
from recops.agent.expert_file import written_episodes
from recops.agent.expert_tasks import draw_tasks
from recops.agent.policy import Policy
from recops.agent.prompts import task_messages, tool_schemas
from recops.agent.rollout import play
from recops.agent.script import Script, scripted_episode
from recops.config.agent import AgentConfig
from recops.config.policy import EndpointExpertConfig, ExpertEpisodesConfig
from recops.progress import progress
from recops.records import Episode, Task
from recops.seeds import sub_seed
from recops.tools.toolbox import Toolbox

SCRIPTED, SELF, ENDPOINT, FILE = "scripted", "self", "endpoint", "file"


@dataclass(frozen=True)
class Experts:
    """All that experts play with.

    Attributes:
        base_policy: folder of the policy that is to learn: `self` is this one.
        tokenizer: of that policy; counts the tokens of episodes that others wrote.
        toolbox: with the control tokens of that policy disarmed.
        script: of the scripted expert.
    """

    base_policy: Path
    tokenizer: Any
    control_tokens: Sequence[str]
    toolbox: Toolbox
    script: Script
    config: ExpertEpisodesConfig
    agent: AgentConfig
    seed: int

    def scripted(self) -> list[Episode]:
        """Play the script, each episode with a seeded generator of its own."""
        tasks = self._tasks(self.config.num_scripted, "scripted tasks")
        played = []
        with progress("Scripted episodes", len(tasks)) as meter:
            for number, task in enumerate(tasks):
                interrupt.stop_if_requested()
                generator = np.random.default_rng(sub_seed(self.seed, "scripted", number))
                played.append(scripted_episode(task, self.toolbox, self.agent, generator, script=self.script))
                meter.advance()
        return self.counted(played)

    def self_played(self) -> list[Episode]:
        """Let the policy play itself (self-augmentation, RecThinker)."""
        tasks = self._tasks(self.config.num_self_played, "self-played tasks")
        if not tasks:
            return []
        policy = load_policy(self.base_policy, self.agent.engine)
        return self._played(policy, tasks, self.config.temperature, "self-play", self.config.constrain_answers)

    def asked(self, config: EndpointExpertConfig) -> list[Episode]:
        """Let a stronger model play, through its endpoint.

        Raises:
            InputError: the endpoint fails more often than the recipe allows.
        """
        tasks = self._tasks(config.num_episodes, "endpoint tasks")
        policy = EndpointPolicy(config.server)
        return self.counted(self._played(policy, tasks, config.temperature, "endpoint", constrain_answers=False))

    def written(self, path: Path) -> list[Episode]:
        """Read what people wrote.

        Raises:
            InputError: lines of the file are wrong.
        """
        return self.counted(written_episodes(path, self.toolbox, self.agent, self.control_tokens))

    def counted(self, episodes: Sequence[Episode]) -> list[Episode]:
        """Return the episodes with as many tokens as the template of the policy that is to learn gives them."""
        tools = tool_schemas(self.agent)

        def length(messages: Sequence[Any], *, generate: bool) -> int:
            ids = self.tokenizer.apply_chat_template(
                list(messages), tools=tools or None, add_generation_prompt=generate, tokenize=True, return_dict=False
            )
            return len(ids)

        counted = []
        for episode in episodes:
            prompt = task_messages(episode.task, self.toolbox, self.agent)
            tokens = length([*prompt, *episode.messages], generate=False) - length(prompt, generate=True)
            counted.append(dataclasses.replace(episode, num_completion_tokens=tokens))
        return counted

    def _tasks(self, count: int, purpose: str) -> list[Task]:
        ids, pairs = self.toolbox.store.sample_ids("policy_train"), self.config.pair_fraction
        return draw_tasks(self.toolbox.store, ids, count=count, pair_fraction=pairs, seed=sub_seed(self.seed, purpose))

    def _played(
        self, policy: Policy, tasks: Sequence[Task], temperature: float, purpose: str, constrain_answers: bool
    ) -> list[Episode]:
        return play(
            policy,
            tasks,
            self.toolbox,
            self.agent,
            temperature=temperature,
            seed=sub_seed(self.seed, purpose),
            batch_size=self.config.batch_size,
            constrain_answers=constrain_answers,
        )

    def all_sources(self, root: Path) -> dict[str, Callable[[], list[Episode]]]:
        """Return every source that the recipe names, in the order of their rows; `root` is the project's."""
        sources: dict[str, Callable[[], list[Episode]]] = {SCRIPTED: self.scripted, SELF: self.self_played}
        endpoint, file = self.config.endpoint, self.config.file
        if endpoint is not None:
            sources[ENDPOINT] = lambda: self.asked(endpoint)
        if file is not None:
            sources[FILE] = lambda: self.written(root / file)
        return sources
