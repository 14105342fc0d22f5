import numpy as np
import pytest

from recops.evaluate.statistics import bootstrap_interval, bootstrap_intervals, bootstrap_means, paired_difference

DRAWN = {"draws": 2000, "confidence": 0.95, "seed": 1}


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


def test_p_values_of_pure_noise_are_spread() -> None:
    generator = np.random.default_rng(3)
    noise = generator.normal(size=(40, 100))
    values = [
        paired_difference(row, row * 0, np.arange(100), draws=400, confidence=0.9, seed=1).p_value for row in noise
    ]
    assert 0.3 < np.mean(values) < 0.7


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
        paired_difference([1.0, 2.0], [1.0], [1, 2], **DRAWN)
