"""List-wise GRPO: groups of whole tool-using episodes of one task, advantage = reward minus the group's mean.

TRL's GRPOTrainer trains; `recops.train.tool_loops` says who plays. The environment scores the episodes, with the code
that evaluation and use call. Two rules are ours, both from AgenticRec and settings of the recipe: no division by the
group's standard deviation, and a group whose rewards are all negative is dropped.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recops import interrupt
from recops.agent.local_policy import LocalPolicy
from recops.agent.prompts import task_messages
from recops.config.agent import AgentConfig
from recops.config.policy import GrpoConfig
from recops.errors import InputError
from recops.progress import progress
from recops.ranks import share
from recops.records import Task
from recops.seeds import sub_seed
from recops.stage_io import StageIO
from recops.tools.toolbox import Toolbox
from recops.train.callbacks import connect, mean_of, record_arguments, resume_path, write_curve
from recops.train.episode_log import INVALID
from recops.train.episode_traces import TraceCallback
from recops.train.listwise_trainer import trainer_class
from recops.train.models import (
    device_arguments,
    load_trainable,
    make_trainable,
    micro_batches,
    num_trainable,
    save_policy,
    trainable_digest,
)
from recops.train.step_speed import SpeedCallback
from recops.train.tool_loops import OwnLoop, TrlLoop


@dataclass(frozen=True)
class GrpoReport:
    """Numbers of a GRPO run; `first` and `last` are means over the first and last five steps."""

    steps: int
    tasks: int
    episodes: int
    trainable_parameters: int
    reward_first: float
    reward_last: float
    ndcg_first: float
    ndcg_last: float
    invalid_fraction_first: float
    invalid_fraction_last: float
    calls_per_episode_first: float
    calls_per_episode_last: float
    dropped_group_fraction: float
    zero_variance_group_fraction: float


def run_grpo(io: StageIO, config: GrpoConfig, *, seed: int, agent: AgentConfig) -> GrpoReport:
    """Train the SFT policy on samples of `policy_train` with the list-wise reward; write `grpo_model`.

    Raises:
        InputError: `policy_train` holds no sample, or an input is damaged.
        FloatingPointError: the loss or the weights are not finite.
        RuntimeError: nothing was trained, or a tool failed for a reason that is ours.
    """
    splits, sasrec = io.input("validated_splits"), io.input("sasrec_embeddings")
    policy = open_policy(io.input("sft_checkpoint"))
    toolbox = Toolbox.load(
        splits, sasrec, agent, seed, control_tokens=policy.control_tokens, count_tokens=policy.count_tokens
    )
    tasks = [rank_task(toolbox, sample_id) for sample_id in train_samples(toolbox, splits)]
    return train_on_tasks(io, config, tasks, policy, toolbox, seed=seed, agent=agent)


def open_policy(folder: Path) -> LocalPolicy:
    """Open a policy for training."""
    return LocalPolicy(*load_trainable(folder))


def train_samples(toolbox: Toolbox, splits: Path) -> list[int]:
    """Return the samples of `policy_train`.

    Raises:
        InputError: there is none.
    """
    sample_ids = [int(sample_id) for sample_id in toolbox.store.sample_ids("policy_train")]
    if not sample_ids:
        step = "Give policy_train a larger share in validated_splits.split."
        raise InputError(splits, found="no sample in policy_train", expected="at least one", next_step=step)
    return sample_ids


def rank_task(toolbox: Toolbox, sample_id: int) -> Task:
    """Return the list-wise task of a sample."""
    sample = toolbox.store.sample(sample_id)
    return Task(sample=sample, candidates=sample.candidates, direction="rank")


def train_on_tasks(
    io: StageIO,
    config: GrpoConfig,
    tasks: Sequence[Task],
    policy: LocalPolicy,
    toolbox: Toolbox,
    *,
    seed: int,
    agent: AgentConfig,
) -> GrpoReport:
    """Run GRPO on tasks of any direction, drawn without replacement per epoch, and save the policy to `io.out`.

    Raises:
        FloatingPointError: the loss or the weights are not finite.
        RuntimeError: nothing was trained, or a tool failed for a reason that is ours.
    """
    toolbox.evidence.prepare(sorted({task.sample.sample_id for task in tasks}))
    model = make_trainable(policy.model, config.lora, sub_seed(seed, io.stage, "lora"))
    trainable, before = num_trainable(model), trainable_digest(model)
    resume = resume_path(io.checkpoints)
    with progress(f"Training {io.stage}", config.steps) as meter, interrupt.deferred():
        trainer = build_trainer(
            model, policy.tokenizer, tasks, toolbox, config, folder=io.checkpoints, seed=seed, agent=agent
        )
        connect(trainer, io, meter, shown=("reward", "ndcg", INVALID, "calls"))
        [loop] = trainer.reward_funcs
        trainer.add_callback(SpeedCallback(io, loop))
        trainer.add_callback(TraceCallback(io, loop, toolbox, agent, group_size=config.group_size))
        trainer.train(resume_from_checkpoint=resume)
    interrupt.stop_if_requested()
    if trainable_digest(model) == before:
        raise RuntimeError(f"{io.stage}: no weight changed in {config.steps} steps; every reward may have been equal")
    save_policy(model, policy.tokenizer, io.out, max_new_tokens=agent.max_completion_tokens)
    write_curve(trainer.state.log_history, io.out)
    return _report(trainer.state.log_history, config, len(tasks), trainable)


def build_trainer(
    model: Any,
    tokenizer: Any,
    tasks: Sequence[Task],
    toolbox: Toolbox,
    config: GrpoConfig,
    *,
    folder: Path,
    seed: int,
    agent: AgentConfig,
) -> Any:
    """Return TRL's trainer over `tasks`, with our advantages; checkpoints go to `folder`."""
    from datasets import Dataset

    loop: TrlLoop | OwnLoop
    if config.tool_loop == "trl":
        loop = TrlLoop(toolbox, tokenizer, config, agent)
    else:
        loop = OwnLoop(toolbox, tokenizer, config, agent, sub_seed(seed, "rollout"))
    return trainer_class()(
        model=model,
        reward_funcs=loop,
        args=_arguments(model, tokenizer, config, folder, seed=seed, agent=agent),
        train_dataset=Dataset.from_list(dataset_rows(tasks, toolbox, agent)),
        processing_class=tokenizer,
        rules=config,
        **loop.trainer_arguments(),
    )


def dataset_rows(tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig) -> list[dict[str, Any]]:
    """Return the tasks as rows of TRL's dataset: the prompt, and what `reset` of an environment is told."""
    return [
        {
            "prompt": task_messages(task, toolbox, agent),
            "sample_id": task.sample.sample_id,
            "candidates": list(task.candidates),
            "direction": task.direction,
        }
        for task in tasks
    ]


def _arguments(model: Any, tokenizer: Any, config: GrpoConfig, folder: Path, *, seed: int, agent: AgentConfig) -> Any:
    from trl.trainer.grpo_config import GRPOConfig as Arguments

    # Whole groups: what is compared is played by one worker.
    episodes = share(config.samples_per_step, where="samples_per_step") * config.group_size
    passes = micro_batches(model, episodes)
    return Arguments(
        output_dir=str(folder),
        max_steps=config.steps,
        per_device_train_batch_size=episodes // passes,
        gradient_accumulation_steps=passes,
        steps_per_generation=passes,
        num_generations=config.group_size,
        learning_rate=config.learning_rate,
        lr_scheduler_type="constant_with_warmup",
        warmup_steps=min(5, config.steps // 4),
        weight_decay=0.0,
        max_grad_norm=1.0,
        temperature=config.temperature,
        top_p=1.0,
        top_k=0,
        min_p=None,
        repetition_penalty=1.0,
        generation_kwargs={"use_cache": True, "num_beams": 1, "eos_token_id": tokenizer.eos_token_id},
        max_completion_length=agent.max_completion_tokens,
        max_tool_calling_iterations=agent.max_calls + 1,
        beta=config.beta,
        num_iterations=1,
        scale_rewards="none",
        loss_type="dapo",
        mask_truncated_completions=False,
        shuffle_dataset=True,
        seed=sub_seed(seed, "grpo", "trainer"),
        data_seed=sub_seed(seed, "grpo", "order"),
        remove_unused_columns=False,
        **record_arguments(config.checkpoint_steps),
        **device_arguments(model),
    )


def _report(history: Sequence[dict[str, Any]], config: GrpoConfig, num_tasks: int, trainable: int) -> GrpoReport:
    def first(name: str) -> float:
        return mean_of(history, name, first=True)

    def last(name: str) -> float:
        return mean_of(history, name, first=False)

    def overall(name: str) -> float:
        return mean_of(history, name, first=True, entries=config.steps)

    return GrpoReport(
        steps=config.steps,
        tasks=num_tasks,
        episodes=config.steps * config.samples_per_step * config.group_size,
        trainable_parameters=trainable,
        reward_first=first("reward"),
        reward_last=last("reward"),
        ndcg_first=first("ndcg"),
        ndcg_last=last("ndcg"),
        invalid_fraction_first=first(INVALID),
        invalid_fraction_last=last(INVALID),
        calls_per_episode_first=first("calls"),
        calls_per_episode_last=last("calls"),
        dropped_group_fraction=overall("groups/dropped"),
        zero_variance_group_fraction=overall("groups/zero_variance"),
    )
