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
from recops.errors import InputError
from recops.evaluate.episode_facts import calls_per_episode, copied_fraction, invalid_fraction
from recops.evaluate.episode_table import episode_rank
from recops.evaluate.paired import Paired, Role, against_bars, best_system, paired_table
from recops.evaluate.ranking import MetricTable, metric_tables
from recops.metrics import ABSENT
from recops.records import Episode
from recops.seeds import sub_seed


@dataclass(frozen=True)
class System:
    """One way to rank: 0-based ranks of the target, shape (N,), and the episodes behind them, if there are any.

    A frozen model plays episodes as an agent does, and is a baseline: nothing here trained it.
    """

    name: str
    ranks: NDArray[np.int64]
    episodes: tuple[Episode, ...]
    is_frozen: bool = False

    @classmethod
    def of_agent(cls, name: str, episodes: Sequence[Episode], *, is_frozen: bool = False) -> "System":
        """Return a system by its episodes; an invalid answer has an absent target."""
        ranks = [episode_rank(episode) for episode in episodes]
        return cls(name, np.array(ranks, dtype=np.int64), tuple(episodes), is_frozen)

    @property
    def is_agent(self) -> bool:
        """Whether the ranks come from episodes of a policy of ours."""
        return bool(self.episodes) and not self.is_frozen


@dataclass(frozen=True)
class Comparison:
    """Systems over the same samples, arrays of shape (N,): baselines first, then agents in the order of training."""

    sample_ids: NDArray[np.int32]
    users: NDArray[np.int64]
    warm: NDArray[np.bool_]
    systems: tuple[System, ...]

    @property
    def baselines(self) -> tuple[System, ...]:
        """What no stage here trained as an agent."""
        return tuple(system for system in self.systems if not system.is_agent)

    @property
    def agents(self) -> tuple[System, ...]:
        """Our policies."""
        return tuple(system for system in self.systems if system.is_agent)


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
    """Return every metric with its interval per system, and what episodes show where there are any.

    These have `invalid_answers`, `calls_per_episode` and, where an answer is valid, `copies_one_tool`.
    """
    everything = np.ones(len(comparison.sample_ids), dtype=np.bool_)
    tables = tables_by_system(comparison, everything, config, seed)
    return {
        system.name: {**tables[system.name], **agent_facts(system.episodes, num_ranked)}
        for system in comparison.systems
    }


def tables_by_system(
    comparison: Comparison, kept_N: NDArray[np.bool_], config: EvaluationConfig, seed: int
) -> dict[str, MetricTable]:
    """Return the metrics of every system on the samples where `kept_N` holds; empty if there are none."""
    if not kept_N.any():
        return {}
    return metric_tables(
        {system.name: system.ranks[kept_N] for system in comparison.systems},
        comparison.users[kept_N],
        draws=config.bootstrap_draws,
        confidence=config.confidence,
        seed=sub_seed(seed, "bootstrap"),
    )


def differences(comparison: Comparison, config: EvaluationConfig, seed: int) -> list[Paired]:
    """Return each agent against the stage before it, the best baseline and each reference, tested as one family.

    Raises:
        InputError: a reference of the recipe is none of the baselines.
    """
    agents, baselines = [one.name for one in comparison.agents], {one.name: one.ranks for one in comparison.baselines}
    unknown = [name for name in config.references if name not in baselines]
    if unknown:
        step = "Name systems of the recipe's section baselines, and run that stage again."
        expected = f"some of {', '.join(baselines) or 'no baselines at all'}"
        raise InputError("evaluation_reports.references", found=", ".join(unknown), expected=expected, next_step=step)
    pairs: list[tuple[str, str, Role]] = [
        (after, before, "predecessor") for before, after in itertools.pairwise(agents)
    ]
    pairs += against_bars(agents, best_system(baselines), config.references) if baselines else []
    return paired_table(
        {system.name: system.ranks for system in comparison.systems},
        comparison.users,
        pairs,
        draws=config.bootstrap_draws,
        confidence=config.confidence,
        seed=sub_seed(seed, "bootstrap"),
    )


def rank_histogram(system: System, num_ranked: int) -> dict[str, float]:
    """Return the share of samples per place of the target ("1" is the top), `absent` and `invalid`; they sum to 1."""
    ranks = np.minimum(system.ranks, num_ranked)
    counts = np.bincount(ranks, minlength=num_ranked + 1)
    invalid = sum(episode.answer.error is not None for episode in system.episodes)
    names = [*(str(place + 1) for place in range(num_ranked)), "absent", "invalid"]
    shares = [*counts[:num_ranked], counts[num_ranked] - invalid, invalid]
    return {name: int(count) / len(ranks) for name, count in zip(names, shares, strict=True)}


def agent_facts(episodes: Sequence[Episode], num_ranked: int) -> dict[str, float]:
    """Return what episodes show beside ranks: invalid answers, calls, copies of one tool; nothing without episodes."""
    if not episodes:
        return {}
    facts = {"invalid_answers": invalid_fraction(episodes), "calls_per_episode": calls_per_episode(episodes)}
    copied = copied_fraction(episodes, num_ranked)
    return facts if copied is None else {**facts, "copies_one_tool": copied}
