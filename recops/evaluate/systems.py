"""Systems that ranked the same candidates for the same samples, and the numbers that compare them.

Shape suffix: N samples. A list is cut after `num_ranked` places for every system, for an agent names no more than that:
without the cut a baseline's MRR would be paid for places that an agent cannot fill.
"""

import itertools
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recops.config.evaluation_reports import EvaluationConfig
from recops.data.samples import SampleStore
from recops.evaluate.episode_facts import calls_per_episode, copied_fraction, invalid_fraction
from recops.evaluate.episode_table import episode_rank
from recops.evaluate.ranking import MetricTable, metric_table
from recops.evaluate.statistics import paired_difference
from recops.metrics import ABSENT, METRICS
from recops.records import Episode
from recops.seeds import sub_seed

MAIN_METRIC = "ndcg@10"


@dataclass(frozen=True)
class System:
    """One way to rank: 0-based ranks of the target, shape (N,), and the episodes behind them (none for a baseline)."""

    name: str
    ranks: NDArray[np.int64]
    episodes: tuple[Episode, ...]

    @classmethod
    def of_agent(cls, name: str, episodes: Sequence[Episode]) -> "System":
        """Return an agent by its episodes; an invalid answer has an absent target."""
        ranks = [episode_rank(episode) for episode in episodes]
        return cls(name, np.array(ranks, dtype=np.int64), tuple(episodes))

    @property
    def is_agent(self) -> bool:
        """Whether the ranks come from played episodes."""
        return bool(self.episodes)


@dataclass(frozen=True)
class Comparison:
    """Systems over the same samples, arrays of shape (N,): baselines first, then agents in the order of training."""

    sample_ids: NDArray[np.int32]
    users: NDArray[np.int64]
    warm: NDArray[np.bool_]
    systems: tuple[System, ...]

    @property
    def baselines(self) -> tuple[System, ...]:
        """Systems without episodes."""
        return tuple(system for system in self.systems if not system.is_agent)

    @property
    def agents(self) -> tuple[System, ...]:
        """Systems with episodes."""
        return tuple(system for system in self.systems if system.is_agent)


@dataclass(frozen=True)
class Paired:
    """How far `system` is above `against` in NDCG@10 on the same samples."""

    system: str
    against: str
    role: str
    mean: float
    low: float
    high: float
    p_value: float


def compare(store: SampleStore, sample_ids_N: NDArray[np.int32], systems: Sequence[System]) -> Comparison:
    """Return the comparison of systems that were measured on `sample_ids_N`, in that order."""
    samples = [store.sample(int(sample_id)) for sample_id in sample_ids_N]
    users_N = np.array([sample.user for sample in samples], dtype=np.int64)
    warm_N = np.array([sample.target_is_warm for sample in samples], dtype=np.bool_)
    return Comparison(sample_ids_N, users_N, warm_N, tuple(systems))


def cut(ranks_N: NDArray[np.int64], num_ranked: int) -> NDArray[np.int64]:
    """Return ranks with everything from place `num_ranked` on as `ABSENT`."""
    return np.where(ranks_N < num_ranked, ranks_N, ABSENT).astype(np.int64)


def metrics_by_system(
    comparison: Comparison, config: EvaluationConfig, num_ranked: int, seed: int
) -> dict[str, dict[str, Any]]:
    """Return every metric with its interval per system, and for agents what their episodes show.

    Agents also have `invalid_answers`, `calls_per_episode` and, where an answer is valid, `copies_one_tool`.
    """
    everything = np.ones(len(comparison.sample_ids), dtype=np.bool_)
    tables = tables_by_system(comparison, everything, config, seed)
    return {
        system.name: {**tables[system.name], **_agent_facts(system.episodes, num_ranked)}
        for system in comparison.systems
    }


def tables_by_system(
    comparison: Comparison, kept_N: NDArray[np.bool_], config: EvaluationConfig, seed: int
) -> dict[str, MetricTable]:
    """Return the metrics of every system on the samples where `kept_N` holds; empty if there are none."""
    if not kept_N.any():
        return {}
    users = comparison.users[kept_N]
    # One seed for all systems: they share the resamples, so that intervals side by side differ by the system only.
    return {
        system.name: metric_table(
            system.ranks[kept_N],
            users,
            draws=config.bootstrap_draws,
            confidence=config.confidence,
            seed=sub_seed(seed, "bootstrap"),
        )
        for system in comparison.systems
    }


def best_baseline(comparison: Comparison) -> System | None:
    """Return the baseline with the highest NDCG@10 on the very samples that are reported: the hardest bar."""
    score = METRICS[MAIN_METRIC]
    return max(comparison.baselines, key=lambda system: score(system.ranks).mean(), default=None)


def paired_differences(comparison: Comparison, config: EvaluationConfig, seed: int) -> list[Paired]:
    """Return each agent against the stage before it, and against the best baseline."""
    agents, bar = comparison.agents, best_baseline(comparison)
    steps = [(after, before, "predecessor") for before, after in itertools.pairwise(agents)]
    bars = [(agent, bar, "best baseline") for agent in agents] if bar else []
    return [_paired(comparison, one, other, role, config, seed) for one, other, role in [*steps, *bars]]


def rank_histogram(system: System, num_ranked: int) -> dict[str, float]:
    """Return the share of samples per place of the target ("1" is the top), `absent` and `invalid`; they sum to 1."""
    ranks = np.minimum(system.ranks, num_ranked)
    counts = np.bincount(ranks, minlength=num_ranked + 1)
    invalid = sum(episode.answer.error is not None for episode in system.episodes)
    names = [*(str(place + 1) for place in range(num_ranked)), "absent", "invalid"]
    shares = [*counts[:num_ranked], counts[num_ranked] - invalid, invalid]
    return {name: int(count) / len(ranks) for name, count in zip(names, shares, strict=True)}


def _paired(
    comparison: Comparison, one: System, other: System, role: str, config: EvaluationConfig, seed: int
) -> Paired:
    score = METRICS[MAIN_METRIC]
    difference = paired_difference(
        score(one.ranks),
        score(other.ranks),
        comparison.users,
        draws=config.bootstrap_draws,
        confidence=config.confidence,
        seed=sub_seed(seed, "bootstrap"),
    )
    ends = (difference.mean, difference.low, difference.high, difference.p_value)
    return Paired(one.name, other.name, role, *ends)


def _agent_facts(episodes: Sequence[Episode], num_ranked: int) -> dict[str, float]:
    if not episodes:
        return {}
    facts = {"invalid_answers": invalid_fraction(episodes), "calls_per_episode": calls_per_episode(episodes)}
    copied = copied_fraction(episodes, num_ranked)
    return facts if copied is None else {**facts, "copies_one_tool": copied}
