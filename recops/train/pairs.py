"""`preference_pairs`: what the GRPO policy ranks wrongly on its own training samples (PPR, step 1).

Greedy episodes over `policy_train`. Where the target is not first, the violation is the target against one item, drawn
from those ranked above it, or from all that were ranked when the target is absent. An invalid answer ranks nothing: its
violation is against any other candidate.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl

from recops.agent.backends import load_policy
from recops.agent.rollout import play
from recops.config.agent import AgentConfig
from recops.config.policy import PreferencePairsConfig
from recops.errors import InputError
from recops.metrics import ABSENT, ndcg_at_k, rank_of
from recops.records import Episode
from recops.seeds import sub_seed
from recops.stage_io import StageIO
from recops.tools.toolbox import Toolbox
from recops.train.grpo import rank_task, train_samples

_SCHEMA = {"sample_id": pl.Int32, "target": pl.Int32, "violator": pl.Int32, "target_rank": pl.Int32}


@dataclass(frozen=True)
class PreferencePairsReport:
    """Counts of the mining, and how well the miner ranked."""

    samples: int
    pairs: int
    violation_fraction: float
    target_absent_fraction: float
    invalid_fraction: float
    ndcg_at_10: float


def run_preference_pairs(
    io: StageIO, config: PreferencePairsConfig, *, seed: int, agent: AgentConfig
) -> PreferencePairsReport:
    """Rank samples of `policy_train` with the GRPO policy and write its violations.

    Raises:
        InputError: no sample, no violation, or an input is damaged.
    """
    splits, sasrec = io.input("validated_splits"), io.input("sasrec_embeddings")
    policy = load_policy(io.input("grpo_model"), agent.engine)
    toolbox = Toolbox.load(
        splits, sasrec, agent, seed, control_tokens=policy.control_tokens, count_tokens=policy.count_tokens
    )
    generator = np.random.default_rng(sub_seed(seed, "preference_pairs"))
    sample_ids = generator.permutation(train_samples(toolbox, splits))[: config.num_samples]
    tasks = [rank_task(toolbox, int(sample_id)) for sample_id in sorted(sample_ids)]
    episodes = play(
        policy,
        tasks,
        toolbox,
        agent,
        temperature=0.0,
        seed=seed,
        batch_size=config.batch_size,
        constrain_answers=config.constrain_answers,
    )
    pairs = [pair for episode in episodes if (pair := violation(episode, generator)) is not None]
    if not pairs:
        step = "Raise preference_pairs.num_samples."
        raise InputError(io.stage, found="no violation", expected="at least one", next_step=step)
    frame = pl.DataFrame(pairs, schema=_SCHEMA, orient="row")
    frame.write_parquet(io.out / "pairs.parquet", statistics=False)
    report = _report(episodes, frame)
    io.tracker.log_metrics({"pairs": report.pairs, "ndcg_at_10": report.ndcg_at_10}, step=0)
    return report


def violation(episode: Episode, generator: np.random.Generator) -> tuple[int, int, int, int] | None:
    """Return (sample, target, violator, 0-based rank of the target) of an episode, None where nothing is violated."""
    target, ranking = episode.task.sample.target, episode.answer.ranking
    rank = rank_of(target, ranking)
    others = [item for item in episode.task.candidates if item != target]
    above = (ranking or others) if rank == ABSENT else ranking[:rank]
    if not above:
        return None
    return episode.task.sample.sample_id, target, int(generator.choice(above)), rank


def _report(episodes: Sequence[Episode], pairs: pl.DataFrame) -> PreferencePairsReport:
    ranks = [rank_of(episode.task.sample.target, episode.answer.ranking) for episode in episodes]
    invalid = sum(episode.answer.error is not None for episode in episodes)
    absent = int((pairs["target_rank"] == ABSENT).sum())
    return PreferencePairsReport(
        samples=len(episodes),
        pairs=len(pairs),
        violation_fraction=len(pairs) / len(episodes),
        target_absent_fraction=absent / len(episodes),
        invalid_fraction=invalid / len(episodes),
        ndcg_at_10=float(ndcg_at_k(ranks, 10).mean()),
    )
