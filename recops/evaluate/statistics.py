"""Uncertainty of a mean over samples: bootstrap over users.

Samples of one user are not independent, so users are resampled with all their samples (cluster bootstrap). Shape
suffixes: N samples, U users, M columns of values, P pairs of systems, R draws.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

_MAX_WEIGHTS = 4_000_000
"""Weights (draws x users) that are held at once: 32 MB."""

_ROUNDING = 1e-12
"""Below this the mean of differences of metrics in [0, 1] is the rounding of a sum."""


@dataclass(frozen=True, slots=True)
class Interval:
    """A mean over samples and the ends of its percentile bootstrap interval."""

    mean: float
    low: float
    high: float


@dataclass(frozen=True, slots=True)
class Difference:
    """A paired difference of means, its interval, and the two-sided bootstrap p-value of "no difference"."""

    mean: float
    low: float
    high: float
    p_value: float


def bootstrap_interval(
    values_N: ArrayLike, users_N: ArrayLike, *, draws: int, confidence: float, seed: int
) -> Interval:
    """Return the mean of `values_N` and its percentile interval under resampling of users.

    Args:
        values_N: one finite number per sample.
        users_N: the user of each sample.
        draws: number of bootstrap resamples, at least 1.
        confidence: coverage of the interval, in (0, 1).
        seed: equal seeds give equal intervals.

    Raises:
        ValueError: there is no sample, a value is not finite, or shapes or settings do not fit.
    """
    values_N1 = np.asarray(values_N, dtype=np.float64).reshape(-1, 1)
    return bootstrap_intervals(values_N1, users_N, draws=draws, confidence=confidence, seed=seed)[0]


def bootstrap_intervals(
    values_NM: ArrayLike, users_N: ArrayLike, *, draws: int, confidence: float, seed: int
) -> list[Interval]:
    """As `bootstrap_interval`, for M columns over the same resamples of users."""
    values = np.asarray(values_NM, dtype=np.float64)
    means_RM = bootstrap_means(values, users_N, draws=draws, seed=seed)
    low_M, high_M = _percentiles(means_RM, confidence)
    columns = zip(values.mean(axis=0), low_M, high_M, strict=True)
    return [Interval(float(mean), float(low), float(high)) for mean, low, high in columns]


def paired_differences(
    deltas_NP: ArrayLike, users_N: ArrayLike, *, draws: int, confidence: float, seed: int
) -> list[Difference]:
    """Return for each of P columns of differences on the same samples its mean, interval and p-value.

    The p-value is twice the smaller share of resampled means on either side of 0, with one added to both counts
    (Davison and Hinkley 1997, section 4.2), so that it is never 0: with R draws it is at least 2 / (R + 1).

    Args:
        deltas_NP: value of one system minus value of the other, per sample and pair.
        users_N: the user of each sample; users are resampled, the same ones for all pairs.
        draws: number of bootstrap resamples, at least 1.
        confidence: coverage of the intervals, in (0, 1).
        seed: equal seeds give equal differences.

    Raises:
        ValueError: as `bootstrap_interval`.
    """
    deltas = np.asarray(deltas_NP, dtype=np.float64)
    means_RP = bootstrap_means(deltas, users_N, draws=draws, seed=seed)
    # A resample in which both are equal has a mean of 0 up to rounding, and counts for both sides.
    means_RP = np.where(np.abs(means_RP) < _ROUNDING, 0.0, means_RP)
    low_P, high_P = _percentiles(means_RP, confidence)
    tails_P = np.minimum((means_RP <= 0).sum(axis=0), (means_RP >= 0).sum(axis=0))
    p_values_P = np.minimum(1.0, 2.0 * (tails_P + 1) / (draws + 1))
    columns = zip(deltas.mean(axis=0), low_P, high_P, p_values_P, strict=True)
    return [Difference(float(mean), float(low), float(high), float(p)) for mean, low, high, p in columns]


def holm(p_values: Sequence[float]) -> list[float]:
    """Return p-values corrected for being looked at together (Holm 1979), in the given order.

    Rejecting where they are below a level keeps the chance of any false rejection below that level, however the tests
    depend on each other.
    """
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected, highest = [0.0] * len(p_values), 0.0
    for number, place in enumerate(order):
        highest = max(highest, min(1.0, (len(p_values) - number) * p_values[place]))
        corrected[place] = highest
    return corrected


def bootstrap_means(values_NM: ArrayLike, users_N: ArrayLike, *, draws: int, seed: int) -> NDArray[np.float64]:
    """Return the mean over samples of each of M columns in each of R resamples of users, shape (R, M).

    Raises:
        ValueError: as `bootstrap_interval`.
    """
    values, users = _checked(values_NM, users_N, draws)
    _, user_of_sample_N, counts_U = np.unique(users, return_inverse=True, return_counts=True)
    num_users = len(counts_U)
    sums_UM = np.stack([np.bincount(user_of_sample_N, column, num_users) for column in values.T], axis=1)
    totals_UM = np.concatenate([sums_UM, counts_U[:, None].astype(np.float64)], axis=1)
    resampled = np.concatenate([weights_RU @ totals_UM for weights_RU in _weights(num_users, draws, seed)])
    means_RM: NDArray[np.float64] = resampled[:, :-1] / resampled[:, -1:]
    return means_RM


def _weights(num_users: int, draws: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """Yield how often each user occurs in each resample, some resamples at a time."""
    generator = np.random.default_rng(seed)
    chunk = max(1, _MAX_WEIGHTS // num_users)
    for start in range(0, draws, chunk):
        rows = min(chunk, draws - start)
        picked_RU = generator.integers(num_users, size=(rows, num_users))
        picked_RU += np.arange(rows)[:, None] * num_users
        counts = np.bincount(picked_RU.ravel(), minlength=rows * num_users)
        yield counts.reshape(rows, num_users).astype(np.float64)


def _percentiles(means: NDArray[np.float64], confidence: float) -> NDArray[np.float64]:
    if not 0 < confidence < 1:
        raise ValueError(f"confidence: found {confidence}; expected a number between 0 and 1")
    tail = (1 - confidence) / 2
    ends: NDArray[np.float64] = np.quantile(means, [tail, 1 - tail], axis=0)
    return ends


def _checked(values_NM: ArrayLike, users_N: ArrayLike, draws: int) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    values, users = np.asarray(values_NM, dtype=np.float64), np.asarray(users_N)
    if values.ndim != 2 or not len(values) or len(values) != len(users):
        raise ValueError(
            f"values: found shapes {values.shape} and {users.shape}; expected one user per sample, not none"
        )
    if not np.isfinite(values).all():
        raise ValueError(f"values: found {np.count_nonzero(~np.isfinite(values))} not finite; expected numbers")
    if draws < 1:
        raise ValueError(f"draws: found {draws}; expected at least 1")
    return values, users
