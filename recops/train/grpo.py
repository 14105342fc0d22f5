"""List-wise GRPO: groups of whole tool-using episodes of one sample, advantage = reward minus the group's mean.

TRL's GRPOTrainer plays the episodes in its own tool loop (`environment_factory`, experimental, so it is named here only).
The environment scores them, with the code that the rollout of evaluation and use calls. Two rules are ours, both from
AgenticRec: no division by the group's standard deviation, and a group whose rewards are all negative is dropped.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recops import interrupt
from recops.agent.environment import environment_class
from recops.agent.prompts import task_messages, tool_schemas
from recops.config.agent import AgentConfig
from recops.config.policy import GrpoConfig
from recops.errors import InputError
from recops.progress import progress
from recops.records import Episode, Task
from recops.seeds import sub_seed
from recops.stage_io import StageIO
from recops.tools.toolbox import Toolbox
from recops.train.callbacks import StageCallback, mean_of, resume_path, write_curve
from recops.train.models import (
    apply_lora,
    generation_config,
    load_trainable,
    num_trainable,
    save_policy,
    trainable_digest,
)

MICRO_BATCH = 64
"""Episodes of one forward and backward pass; the gradient of a step is accumulated over them."""
_LARGE_MODEL = 10**8


@dataclass(frozen=True)
class GrpoReport:
    """Numbers of a GRPO run; `first` and `last` are means over the first and last five steps."""

    steps: int
    samples: int
    episodes: int
    trainable_parameters: int
    reward_first: float
    reward_last: float
    ndcg_first: float
    ndcg_last: float
    invalid_fraction_first: float
    invalid_fraction_last: float
    calls_per_episode_last: float
    dropped_group_fraction: float
    zero_variance_group_fraction: float


def run_grpo(io: StageIO, config: GrpoConfig, *, seed: int, agent: AgentConfig) -> GrpoReport:
    """Train the SFT policy on `policy_train` samples with the list-wise reward; write `grpo_model`.

    Raises:
        InputError: the slice `policy_train` holds no sample, or an input is damaged.
        RuntimeError: nothing was trained, or a tool failed for a reason that is ours.
    """
    policy, splits, sasrec = io.input("sft_checkpoint"), io.input("validated_splits"), io.input("sasrec_embeddings")
    toolbox = Toolbox.load(splits, sasrec, agent, seed)
    sample_ids = toolbox.store.sample_ids("policy_train")
    if not len(sample_ids):
        step = "Give policy_train a larger share in validated_splits.slices."
        raise InputError(splits, found="no sample in policy_train", expected="at least one", next_step=step)
    tasks = [rank_task(toolbox, int(sample_id)) for sample_id in sample_ids]
    return train_on_tasks(io, config, tasks, toolbox, policy, seed=seed, agent=agent)


def rank_task(toolbox: Toolbox, sample_id: int) -> Task:
    """Return the list-wise task of a sample."""
    sample = toolbox.store.sample(sample_id)
    return Task(sample=sample, candidates=sample.candidates, direction="rank")
