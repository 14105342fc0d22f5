from typing import Any

import numpy as np
import pytest
from numpy.typing import ArrayLike

from recops.evaluate.statistics import (
    Difference,
    bootstrap_interval,
    bootstrap_intervals,
    bootstrap_means,
    holm,
    paired_differences,
)

DRAWN = {"draws": 2000, "confidence": 0.95, "seed": 1}


def paired_difference(a: ArrayLike, b: ArrayLike, users: ArrayLike, **drawn: Any) -> Difference:
    [difference] = paired_differences((np.asarray(a) - np.asarray(b))[:, None], users, **drawn)
    return difference


def test_interval_is_that_of_the_normal_theory_for_one_sample_per_user() -> None:
    values = np.random.default_rng(0).normal(3, 2, 900)
    interval = bootstrap_interval(values, np.arange(900), draws=4000, confidence=0.95, seed=1)
    assert interval.mean == pytest.approx(values.mean())
    half = 1.96 * values.std() / 30
    assert interval.low == pytest.approx(values.mean() - half, abs=0.1 * half)
    assert interval.high == pytest.approx(values.mean() + half, abs=0.1 * half)


def test_users_are_resampled_with_all_their_samples() -> None:
    values = np.random.default_rng(0).normal(size=200)
    one = bootstrap_interval(values, np.arange(200), **DRAWN)
    four = bootstrap_interval(np.repeat(values, 4), np.repeat(np.arange(200), 4), **DRAWN)
    assert (four.low, four.high) == pytest.approx((one.low, one.high))


def test_resampled_means_weigh_samples_not_users() -> None:
    values, users = np.array([[0.0], [0.0], [0.0], [1.0]]), np.array([8, 8, 8, 5])
    means = bootstrap_means(values, users, draws=500, seed=2)[:, 0]
    assert set(np.round(means, 6)) == {0.0, 0.25, 1.0}


def test_same_seed_same_interval_and_another_seed_another() -> None:
    values, users = np.random.default_rng(0).normal(size=120), np.repeat(np.arange(40), 3)
    one = bootstrap_interval(values, users, **DRAWN)
    assert bootstrap_interval(values, users, **DRAWN) == one
    assert bootstrap_interval(values, users, **{**DRAWN, "seed": 2}) != one


def test_order_of_the_samples_does_not_matter() -> None:
    values, users = np.random.default_rng(0).normal(size=120), np.repeat(np.arange(40), 3)
    order = np.random.default_rng(1).permutation(120)
    one, other = (bootstrap_interval(v, u, **DRAWN) for v, u in ((values, users), (values[order], users[order])))
    assert (one.mean, one.low, one.high) == pytest.approx((other.mean, other.low, other.high))


def test_many_users_are_resampled_in_pieces(monkeypatch: pytest.MonkeyPatch) -> None:
    values, users = np.arange(50.0), np.arange(50)
    monkeypatch.setattr("recops.evaluate.statistics._MAX_WEIGHTS", 120)
    assert bootstrap_means(values[:, None], users, draws=33, seed=0).shape == (33, 1)
    interval = bootstrap_interval(values, users, **DRAWN)
    assert interval.low == pytest.approx(20.5, abs=0.7)


def test_columns_share_their_resamples() -> None:
    values = np.random.default_rng(0).normal(size=60)
    one, two = bootstrap_intervals(np.stack([values, values + 1], axis=1), np.arange(60), **DRAWN)
    assert two.low == pytest.approx(one.low + 1)


def test_paired_difference_sees_what_separate_intervals_do_not() -> None:
    generator = np.random.default_rng(0)
    base = generator.normal(size=300)
    better = base + 0.1 + generator.normal(scale=0.1, size=300)
    difference = paired_difference(better, base, np.arange(300), **DRAWN)
    assert 0.08 < difference.low < difference.mean < difference.high < 0.12
    assert difference.p_value == pytest.approx(2 / 2001)
    assert bootstrap_interval(better, np.arange(300), **DRAWN).low < base.mean()


def test_no_difference_has_p_value_one() -> None:
    assert paired_difference([1.0, 2.0], [1.0, 2.0], [0, 1], **DRAWN).p_value == 1.0


def test_a_true_null_is_rejected_as_often_as_the_level_says() -> None:
    """400 pairs of equal systems, users with 1 to 5 samples that resemble each other, gains as coarse as NDCG's.

    Of 400 tests at level .05 a calibrated one rejects 20; five standard errors (4.4 each) are the tolerance. A test
    that took samples for independent would reject some 60.
    """
    generator = np.random.default_rng(3)
    counts = generator.integers(1, 6, 150)
    users = np.repeat(np.arange(150), counts)
    taste = generator.normal(size=(2, 150, 400)).repeat(counts, axis=1)
    values = np.round(np.clip(taste + 0.5 * generator.normal(size=taste.shape), 0, 2), 1)
    found = paired_differences(values[0] - values[1], users, draws=1000, confidence=0.95, seed=1)
    rejected = sum(one.p_value < 0.05 for one in found)
    assert 0 < rejected < 42
    assert abs(rejected - sum(not one.low <= 0 <= one.high for one in found)) <= 6
    assert 0.4 < np.mean([one.p_value for one in found]) < 0.6


def test_a_family_of_true_nulls_is_rejected_once_in_twenty_tables_after_holm() -> None:
    """200 tables of 10 true nulls: without the correction 80 of them would show a difference, with it 10 at most."""
    generator = np.random.default_rng(4)
    deltas = generator.normal(size=(120, 2000))
    p_values = [one.p_value for one in paired_differences(deltas, np.arange(120), draws=2000, confidence=0.95, seed=1)]
    tables = np.reshape(p_values, (200, 10))
    assert sum(table.min() < 0.05 for table in tables) > 50
    assert sum(min(holm(table.tolist())) < 0.05 for table in tables) < 26


def test_pairs_share_their_resamples_and_do_not_depend_on_each_other() -> None:
    deltas = np.random.default_rng(0).normal(size=(60, 3))
    together = paired_differences(deltas, np.arange(60), **DRAWN)
    assert [one.mean for one in together] == pytest.approx(deltas.mean(axis=0).tolist())
    for column, one in enumerate(together):
        alone = paired_difference(deltas[:, column], np.zeros(60), np.arange(60), **DRAWN)
        assert (alone.low, alone.high, alone.p_value) == pytest.approx((one.low, one.high, one.p_value))


def test_a_resample_without_a_difference_counts_for_both_sides_whatever_its_rounding() -> None:
    deltas = np.array([0.1, 0.2, -0.3] * 2)
    assert paired_difference(deltas, np.zeros(6), [0, 0, 0, 1, 1, 1], **DRAWN).p_value == 1.0


def test_holm_multiplies_by_how_many_are_left_and_never_falls() -> None:
    """Four tests: .01 x 4, then .02 x 3, then .03 x 2 which may not fall below the one before, then .9 x 1."""
    assert holm([0.03, 0.01, 0.9, 0.02]) == pytest.approx([0.06, 0.04, 0.9, 0.06])
    assert holm([0.4, 0.5]) == pytest.approx([0.8, 0.8])
    assert holm([0.6, 0.7]) == [1.0, 1.0]
    assert holm([]) == []


@pytest.mark.parametrize(
    ("values", "users", "change", "message"),
    [
        ([], [], {}, "values"),
        ([1.0], [1, 2], {}, "values"),
        ([1.0, np.nan], [1, 2], {}, "1 not finite"),
        ([1.0], [1], {"draws": 0}, "draws: found 0"),
        ([1.0], [1], {"confidence": 1.0}, r"confidence: found 1\.0"),
    ],
)
def test_bad_input_is_named(values: list[float], users: list[int], change: dict[str, float], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        bootstrap_interval(values, users, **{**DRAWN, **change})
    with pytest.raises(ValueError, match="shapes"):
        paired_differences([[1.0], [2.0]], [1], **DRAWN)
