"""Whether a challenger may take the champion's place: each condition with what was found, what is allowed, and why."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops.config.evaluation_reports import EvaluationConfig
from recops.config.promotion import PromotionConfig
from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.statistics import Difference, paired_differences
from recops.metrics import METRICS
from recops.seeds import sub_seed

Ranks = NDArray[np.int64]


@dataclass(frozen=True)
class Condition:
    """One condition of a promotion, in words and as a verdict."""

    name: str
    found: str
    allowed: str
    holds: bool


@dataclass(frozen=True)
class Limits:
    """What was measured of a challenger alone: see `PromotionConfig`.

    Attributes:
        gained_fraction: None where its evaluation left the planted texts out; 0 where no text of a stranger is shown.
    """

    invalid_fraction: float
    gained_fraction: float | None
    latency_p95_seconds: float


def limit_conditions(measured: Limits, config: PromotionConfig) -> list[Condition]:
    """Return the conditions that a challenger meets or not whoever is champion."""
    invalid, latency = measured.invalid_fraction, measured.latency_p95_seconds
    conditions = [
        Condition(
            "invalid answers",
            f"{invalid:.1%}",
            f"at most {config.max_invalid_fraction:.1%}",
            invalid <= config.max_invalid_fraction,
        ),
        Condition(
            "latency, 95 % of requests",
            f"{latency:.2f} s",
            f"at most {config.max_latency_p95_seconds:.2f} s",
            latency <= config.max_latency_p95_seconds,
        ),
    ]
    if config.max_gained_fraction is not None:
        gained = measured.gained_fraction
        found = "not measured" if gained is None else f"lift their item in {gained:.1%} of episodes"
        holds = gained is not None and gained <= config.max_gained_fraction
        conditions.append(Condition("planted texts", found, f"at most {config.max_gained_fraction:.1%}", holds))
    return conditions


def untouched_condition(who: str, why_not: str | None) -> Condition:
    """Return the condition that a model was not trained on the newest candidates."""
    return Condition(
        f"{who} not trained on the candidates", why_not or "trained before them", "trained before them", why_not is None
    )


def non_inferior_condition(difference: Difference, margin: float) -> Condition:
    """Return the condition that the challenger is not worse than the champion by more than the margin."""
    found = f"{difference.mean:+.4f} [{difference.low:+.4f}, {difference.high:+.4f}]"
    allowed = f"lower end above {-margin:+.4f}"
    return Condition(f"{MAIN_METRIC}, challenger minus champion", found, allowed, difference.low > -margin)


def above_random_condition(gain: Difference) -> Condition:
    """Return the condition that a model with no champion to be compared with ranks better than chance."""
    found = f"{gain.mean:+.4f} [{gain.low:+.4f}, {gain.high:+.4f}]"
    return Condition(f"{MAIN_METRIC}, challenger minus random", found, "lower end above 0", gain.low > 0)


def difference_in_ndcg(
    challenger_N: Ranks, champion_N: Ranks, users_N: NDArray[np.int64], *, config: EvaluationConfig, seed: int
) -> Difference:
    """Return the paired difference in NDCG@10 of ranks on the same samples, with its interval over users.

    Args:
        challenger_N, champion_N: 0-based ranks of the target per sample.
        users_N: the user of each sample; users are resampled.
        config: draws and confidence; of a 95 % interval each end is a one-sided bound of 97.5 %.
        seed: equal seeds give equal intervals.
    """
    score = METRICS[MAIN_METRIC]
    return _mean_over_users(score(challenger_N) - score(champion_N), users_N, config=config, seed=seed)


def gain_over_random(
    ranks_N: Ranks,
    num_candidates_N: NDArray[np.int64],
    users_N: NDArray[np.int64],
    *,
    num_ranked: int,
    config: EvaluationConfig,
    seed: int,
) -> Difference:
    """Return by how much NDCG@10 is above that of a random order of the same candidates, with its interval over users.

    What a random order is worth is not drawn but exact: the target is equally often at each place.

    Args:
        ranks_N: 0-based ranks of the target per sample.
        num_candidates_N: how many candidates each sample has, at least 1.
        users_N: the user of each sample; users are resampled.
        num_ranked: length of an answer; a random one is cut like the model's.
        config: draws and confidence.
        seed: equal seeds give equal intervals.
    """
    score = METRICS[MAIN_METRIC]
    worth = np.concatenate([[0.0], np.cumsum(score(np.arange(num_ranked)))])
    random_N = worth[np.minimum(num_candidates_N, num_ranked)] / num_candidates_N
    return _mean_over_users(score(ranks_N) - random_N, users_N, config=config, seed=seed)


def _mean_over_users(
    deltas_N: NDArray[np.float64], users_N: NDArray[np.int64], *, config: EvaluationConfig, seed: int
) -> Difference:
    [found] = paired_differences(
        deltas_N.reshape(-1, 1),
        users_N,
        draws=config.bootstrap_draws,
        confidence=config.confidence,
        seed=sub_seed(seed, "promotion"),
    )
    return found


def all_hold(conditions: Sequence[Condition]) -> bool:
    """Whether every condition holds."""
    return all(condition.holds for condition in conditions)
