"""`ppr_model`: Progressive Preference Refinement, GRPO on the policy's own ranking mistakes in both directions.

Each violation gives two tasks about the same two items: which is MORE likely (the target), which is LESS likely (the
other). The right answer stands on side A in exactly half of each kind of task. List-wise tasks are mixed in, so that
ranking is not forgotten. Reward and trainer are those of `recops.train.grpo`.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recops.agent.local_policy import LocalPolicy
from recops.agent.policy import Policy
from recops.agent.rollout import play
from recops.config.agent import AgentConfig
from recops.config.policy import PprConfig
from recops.errors import InputError
from recops.records import Direction, Episode, Task
from recops.seeds import sub_seed
from recops.stage_io import StageIO
from recops.tools.toolbox import Toolbox
from recops.train.grpo import GrpoReport, open_policy, rank_task, train_on_tasks, train_samples

_HELD_OUT_FRACTION = 0.15
_MAX_HELD_OUT = 200
_PLAY_BATCH = 64
DIRECTIONS: tuple[Direction, ...] = ("more", "less")


@dataclass(frozen=True)
class PairAccuracy:
    """Share of held-out pairs answered rightly by greedy play; chance is .5, .5 and .25."""

    more: float
    less: float
    both: float


@dataclass(frozen=True)
class PprReport:
    """What was trained on and what came of it; `chance` stands beside the accuracies."""

    pairs: int
    held_out_pairs: int
    ranking_tasks: int
    before: PairAccuracy
    after: PairAccuracy
    chance: PairAccuracy
    training: GrpoReport


def run_ppr(io: StageIO, config: PprConfig, *, seed: int, agent: AgentConfig) -> PprReport:
    """Refine the GRPO policy on its violations; write `ppr_model`.

    Raises:
        InputError: there are fewer than two pairs, or an input is damaged.
        FloatingPointError: the loss or the weights are not finite.
        RuntimeError: nothing was trained, or a tool failed for a reason that is ours.
    """
    splits, sasrec = io.input("validated_splits"), io.input("sasrec_embeddings")
    policy = open_policy(io.input("grpo_model"))
    toolbox = Toolbox.load(
        splits, sasrec, agent, seed, control_tokens=policy.control_tokens, count_tokens=policy.count_tokens
    )
    trained, held_out = split_pairs(io.input("preference_pairs") / "pairs.parquet", seed)
    questions = pair_tasks(toolbox, held_out, seed)
    tasks = _mixed(toolbox, splits, pair_tasks(toolbox, trained, seed), config, seed)
    before = pair_accuracy(policy, questions, toolbox, agent, seed)
    training = train_on_tasks(io, config, tasks, policy, toolbox, seed=seed, agent=agent)
    after = pair_accuracy(LocalPolicy.load(io.out), questions, toolbox, agent, seed)
    return PprReport(
        pairs=len(trained),
        held_out_pairs=len(held_out),
        ranking_tasks=sum(task.direction == "rank" for task in tasks),
        before=before,
        after=after,
        chance=PairAccuracy(more=0.5, less=0.5, both=0.25),
        training=training,
    )


def split_pairs(path: Path, seed: int) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Return pairs to train on and pairs to measure on, no sample in both.

    Raises:
        InputError: there are fewer than two pairs.
    """
    pairs = pl.read_parquet(path)
    if len(pairs) < 2:
        step = "Raise preference_pairs.num_samples."
        raise InputError(path, found=f"{len(pairs)} pairs", expected="at least 2", next_step=step)
    shuffled = pairs.sample(fraction=1.0, shuffle=True, seed=sub_seed(seed, "ppr", "split"))
    num_held_out = min(_MAX_HELD_OUT, max(1, int(len(pairs) * _HELD_OUT_FRACTION)))
    return shuffled[num_held_out:], shuffled[:num_held_out]


def pair_tasks(toolbox: Toolbox, pairs: pl.DataFrame, seed: int) -> list[Task]:
    """Return both questions of every pair, MORE then LESS.

    In each direction the right answer stands on side A for half of the pairs, up to one; which half is drawn anew for
    each direction, so that one answer does not tell the other.
    """
    rows = pairs.select("sample_id", "target", "violator").rows()
    first = {direction: _right_is_first(len(rows), direction, seed) for direction in DIRECTIONS}
    return [
        _pair_task(toolbox, row, direction, right_first=bool(first[direction][place]))
        for place, row in enumerate(rows)
        for direction in DIRECTIONS
    ]


def _right_is_first(count: int, direction: Direction, seed: int) -> np.ndarray:
    """Return a shuffled mask (count,), true for half of the places."""
    generator = np.random.default_rng(sub_seed(seed, "ppr", "sides", direction))
    return generator.permutation(np.arange(count) % 2 == 0)


def _pair_task(toolbox: Toolbox, row: tuple[int, int, int], direction: Direction, *, right_first: bool) -> Task:
    sample_id, target, violator = row
    right, wrong = (target, violator) if direction == "more" else (violator, target)
    candidates = (right, wrong) if right_first else (wrong, right)
    return Task(sample=toolbox.store.sample(sample_id), candidates=candidates, direction=direction)


def _mixed(toolbox: Toolbox, splits: Path, pairs: Sequence[Task], config: PprConfig, seed: int) -> list[Task]:
    """Return pair tasks and list-wise tasks, the latter `ranking_fraction` of the whole, in a seeded order.

    List-wise samples repeat where the slice holds fewer than that; with a fraction of 1 no pair is left.
    """
    generator = np.random.default_rng(sub_seed(seed, "ppr", "mix"))
    if config.ranking_fraction == 1:
        pairs = []
    wanted = (
        round(len(pairs) * config.ranking_fraction / (1 - config.ranking_fraction))
        if pairs
        else config.steps * config.samples_per_step
    )
    sample_ids = generator.permutation(train_samples(toolbox, splits))
    ranking = [rank_task(toolbox, int(sample_ids[place % len(sample_ids)])) for place in range(wanted)]
    tasks = [*pairs, *ranking]
    return [tasks[place] for place in generator.permutation(len(tasks))]


def pair_accuracy(
    policy: Policy, tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig, seed: int
) -> PairAccuracy:
    """Return the accuracy of greedy play on tasks in the order of `pair_tasks`."""
    episodes = play(policy, tasks, toolbox, agent, temperature=0.0, seed=seed, batch_size=_PLAY_BATCH)
    right_P2 = np.asarray([_is_right(episode) for episode in episodes]).reshape(-1, len(DIRECTIONS))
    more, less = right_P2.mean(axis=0)
    return PairAccuracy(more=float(more), less=float(less), both=float(right_P2.all(axis=1).mean()))


def _is_right(episode: Episode) -> bool:
    return episode.answer.ranking[:1] == (episode.task.answer_item,)
