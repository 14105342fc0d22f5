"""Episodes per second of our loop beside TRL's own tool loop, with a policy of the pipeline and its real tools.

`python -m benchmarks.rollout --recipe embedded` after the stages up to `--policy` (default `grpo_model`). Both loops
play the same samples of `policy_train` greedily, as many as a step of GRPO does, and are compared episode by episode;
only prompts to finished turns are timed, not rewards or training. TRL's is timed inside its trainer, where it runs.
"""

import argparse
import copy
import statistics
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np

from benchmarks import machine
from recops import environment
from recops.config.agent import AgentConfig
from recops.config.recipe import load_recipe
from recops.paths import Layout, project_root
from recops.records import Episode, Task


def main() -> None:
    environment.prepare()
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="embedded")
    parser.add_argument("--root", type=Path, default=project_root(), help="where data/ and models/ lie")
    parser.add_argument("--policy", default="grpo_model")
    parser.add_argument("--episodes", type=int, default=192)
    parser.add_argument("--group", type=int, default=8, help="episodes of each sample: TRL plays groups")
    parser.add_argument("--repeats", type=int, default=3)
    asked = parser.parse_args()
    layout = Layout(asked.root, asked.recipe)
    recipe = load_recipe(Layout(project_root(), asked.recipe).recipe_file)
    print(f"{machine.described()}\n", flush=True)
    measure(layout, recipe.agent, recipe.seed, asked)


def measure(layout: Layout, agent: AgentConfig, seed: int, asked: argparse.Namespace) -> None:
    from recops.agent.local_policy import LocalPolicy
    from recops.agent.rollout import rollouts
    from recops.tools.toolbox import Toolbox

    policy = LocalPolicy.load(layout.artefact(asked.policy))
    folders = layout.artefact("validated_splits"), layout.artefact("sasrec_embeddings")

    def fresh() -> Toolbox:
        """A toolbox that has answered nothing yet: neither loop may profit from what the other asked."""
        return Toolbox.load(*folders, agent, seed, control_tokens=policy.control_tokens)

    store = fresh().store
    ids = np.random.default_rng(0).permutation(store.sample_ids("policy_train"))[: asked.episodes // asked.group]
    samples = [store.sample(int(sample_id)) for sample_id in ids]
    tasks = [Task(sample, sample.candidates, "rank") for sample in samples for _ in range(asked.group)]
    seconds: dict[str, list[float]] = {"TRL's tool loop": [], "recops.agent.rollout": []}
    for _ in range(asked.repeats):
        theirs, took = play_in_trl(policy, tasks[:: asked.group], fresh(), agent, asked.group)
        seconds["TRL's tool loop"].append(took)
        toolbox = fresh()
        toolbox.evidence.prepare(ids.tolist())  # as for TRL's, outside what is timed
        started = time.perf_counter()
        ours = rollouts(policy, tasks, toolbox, agent, temperature=0.0, seed=0, batch_size=len(tasks))
        seconds["recops.agent.rollout"].append(time.perf_counter() - started)
    episodes = [rollout.episode for rollout in ours]
    equal = sum(episode.messages == theirs[episode.task.sample.sample_id].messages for episode in episodes)
    tokens = sum(episode.num_completion_tokens for episode in episodes)
    base = statistics.median(seconds["TRL's tool loop"])
    print("| loop | episodes/s, median (range) | tokens/s | times TRL's |")
    print("|---|---:|---:|---:|")
    for name, taken in seconds.items():
        speeds = sorted(len(tasks) / one for one in taken)
        middle = statistics.median(taken)
        print(
            f"| {name} | {len(tasks) / middle:.1f} ({speeds[0]:.1f} to {speeds[-1]:.1f}) "
            f"| {tokens / middle:,.0f} | {base / middle:.1f} |"
        )
    print(
        f"\n{len(tasks)} episodes, {tokens / len(tasks):.0f} tokens each after the prompt, {equal} equal in both loops."
    )


def play_in_trl(
    policy: Any, tasks: Sequence[Task], toolbox: Any, agent: AgentConfig, group: int
) -> tuple[dict[int, Episode], float]:
    """Let GRPOTrainer play one greedy step; return an episode of each sample, and the seconds of its tool loop."""
    from datasets import Dataset
    from trl import GRPOConfig, GRPOTrainer

    from recops.agent.environment import environment_class
    from recops.train.grpo import dataset_rows

    episodes: dict[int, Episode] = {}
    took: list[float] = []

    class TimedTrainer(GRPOTrainer):
        def _generate(self, prompts: list[Any]) -> Any:
            started = time.perf_counter()
            output = super()._generate(prompts)
            took.append(time.perf_counter() - started)
            return output

    def reward(completions: Any, completion_ids: Any, environments: Any, **_: Any) -> list[float]:
        for played, messages, ids in zip(environments, completions, completion_ids, strict=True):
            cut = ids[-1] not in policy.stop_ids
            episode = played.finish(messages, truncated=cut, num_completion_tokens=len(ids))
            episodes[episode.task.sample.sample_id] = episode
        return [0.0 for _ in completions]

    toolbox.evidence.prepare([task.sample.sample_id for task in tasks])
    with tempfile.TemporaryDirectory() as folder:
        arguments = GRPOConfig(
            output_dir=folder, max_steps=1, learning_rate=0.0, per_device_train_batch_size=len(tasks) * group,
            num_generations=group, max_completion_length=agent.max_completion_tokens,
            max_tool_calling_iterations=agent.max_calls + 1, generation_kwargs={"do_sample": False}, bf16=False,
            report_to="none", save_strategy="no", disable_tqdm=True, gradient_checkpointing=False,
        )  # fmt: skip
        TimedTrainer(
            model=copy.deepcopy(policy.model),
            reward_funcs=reward,
            args=arguments,
            train_dataset=Dataset.from_list(dataset_rows(tasks, toolbox, agent)),
            processing_class=policy.tokenizer,
            environment_factory=environment_class(toolbox, agent),
        ).train()
    return episodes, took[0]


if __name__ == "__main__":
    main()
