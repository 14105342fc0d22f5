from typing import Any

import numpy as np
import pytest

from recops.config.evaluation_reports import EvaluationConfig
from recops.config.promotion import PromotionConfig
from recops.evaluate.statistics import Difference
from recops.metrics import ABSENT
from recops.registry.verdict import (
    Limits,
    above_random_condition,
    all_hold,
    difference_in_ndcg,
    gain_over_random,
    limit_conditions,
    non_inferior_condition,
    untouched_condition,
)
from tests.recops.evaluate.small_pipeline import CONFIG

LIMITS = PromotionConfig(
    margin=0.02,
    max_invalid_fraction=0.05,
    max_gained_fraction=0.5,
    max_latency_p95_seconds=2.0,
    num_latency_requests=20,
)
GOOD = Limits(invalid_fraction=0.05, gained_fraction=0.5, latency_p95_seconds=2.0)


def broken(measured: Limits, config: PromotionConfig = LIMITS) -> list[str]:
    return [one.name for one in limit_conditions(measured, config) if not one.holds]


def test_what_is_at_a_limit_keeps_it() -> None:
    conditions = limit_conditions(GOOD, LIMITS)
    assert len(conditions) == 3
    assert all_hold(conditions)


@pytest.mark.parametrize(
    ("measured", "condition"),
    [
        (Limits(0.051, 0.5, 2.0), "invalid answers"),
        (Limits(0.05, 0.51, 2.0), "planted texts"),
        (Limits(0.05, None, 2.0), "planted texts"),
        (Limits(0.05, 0.5, 2.01), "latency, 95 % of requests"),
    ],
)
def test_each_limit_refuses_alone(measured: Limits, condition: str) -> None:
    assert broken(measured) == [condition]
    assert not all_hold(limit_conditions(measured, LIMITS))


def test_planted_texts_are_asked_for_only_where_the_recipe_does() -> None:
    assert broken(Limits(0.05, None, 2.0), LIMITS.model_copy(update={"max_gained_fraction": None})) == []


def test_not_worse_than_the_margin_is_good_enough_and_at_the_margin_is_not() -> None:
    assert non_inferior_condition(Difference(-0.01, -0.0199, 0.0, 0.1), margin=0.02).holds
    assert not non_inferior_condition(Difference(0.01, -0.02, 0.04, 0.5), margin=0.02).holds
    assert not non_inferior_condition(Difference(-0.05, -0.06, -0.04, 0.0), margin=0.02).holds


def test_the_difference_is_challenger_minus_champion_over_users() -> None:
    config: EvaluationConfig = CONFIG
    better, worse = np.zeros(40, dtype=np.int64), np.full(40, ABSENT, dtype=np.int64)
    users = np.repeat(np.arange(20), 2)
    up = difference_in_ndcg(better, worse, users, config=config, seed=1)
    assert (up.mean, up.low, up.high) == (1.0, 1.0, 1.0)
    assert difference_in_ndcg(worse, better, users, config=config, seed=1).high == -1.0
    mixed = np.where(users % 2, better, worse)
    by_user = difference_in_ndcg(mixed, worse, users, config=config, seed=1)
    by_sample = difference_in_ndcg(mixed, worse, np.arange(40), config=config, seed=1)
    assert by_user.high - by_user.low > 1.2 * (by_sample.high - by_sample.low)


def test_a_model_that_was_trained_on_the_candidates_is_told_why() -> None:
    assert untouched_condition("champion", None).holds
    refused = untouched_condition("champion", "trained until 2024-01-02, candidates from 2024-01-01")
    assert (refused.holds, refused.found) == (False, "trained until 2024-01-02, candidates from 2024-01-01")


def test_a_random_order_gains_nothing_and_a_perfect_one_all_that_it_lacks() -> None:
    config: EvaluationConfig = CONFIG
    users, counts = np.arange(6), np.full(6, 6)
    settings: Any = {"num_ranked": 4, "config": config, "seed": 1}
    every_place = np.array([0, 1, 2, 3, ABSENT, ABSENT])
    assert gain_over_random(every_place, counts, users, **settings).mean == pytest.approx(0.0)
    worth = (1 + 1 / np.log2(3) + 0.5 + 1 / np.log2(5)) / 6
    perfect = gain_over_random(np.zeros(6, dtype=np.int64), counts, users, **settings)
    assert (perfect.low, perfect.mean) == pytest.approx((1 - worth, 1 - worth))
    short = gain_over_random(np.zeros(2, dtype=np.int64), np.array([2, 2]), np.arange(2), **settings)
    assert short.mean == pytest.approx(1 - (1 + 1 / np.log2(3)) / 2)


def test_chance_must_be_below_the_whole_interval() -> None:
    assert above_random_condition(Difference(0.1, 0.001, 0.2, 0.01)).holds
    assert not above_random_condition(Difference(0.1, 0.0, 0.2, 0.06)).holds
    assert not above_random_condition(Difference(-0.1, -0.2, -0.01, 0.0)).holds
