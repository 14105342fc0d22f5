from itertools import permutations

import numpy as np
import pytest
from numpy.typing import NDArray

from recops.evaluate.oracle import log_chance_of_others


def by_enumeration(weights: list[float], others: list[float]) -> NDArray[np.float64]:
    """Chance that the first draws without replacement are all but the target, for each item as the target."""
    chances = []
    for target in range(len(weights)):
        pool = [weight for index, weight in enumerate(weights) if index != target]
        total, chance = sum(pool) + sum(others), 0.0
        for order in permutations(pool):
            left, product = total, 1.0
            for weight in order:
                product *= weight / left
                left -= weight
            chance += product
        chances.append(chance)
    return np.asarray(chances)


@pytest.mark.parametrize(
    ("weights", "others"),
    [
        ([1.0, 2.0, 5.0], [1.0, 1.0, 3.0]),
        ([3.0, 3.0, 3.0, 3.0], [3.0, 3.0]),
        ([40.0, 1.0, 7.0, 2.0, 9.0], [0.5]),
        ([1.0, 2.0, 3.0, 90.0, 4.0, 5.0], [10.0] * 80),
    ],
)
def test_chances_of_negatives_are_those_of_all_orders_of_drawing(weights: list[float], others: list[float]) -> None:
    found = np.exp(log_chance_of_others(np.asarray(weights), sum(others)))
    expected = by_enumeration(weights, others)
    assert found / found[0] == pytest.approx(expected / expected[0], rel=1e-3)


def test_a_heavy_candidate_is_the_less_likely_target_for_equal_chances_to_be_taken() -> None:
    found = log_chance_of_others(np.asarray([1.0, 2.0, 5.0]), 100.0)
    assert found[0] > found[1] > found[2]
    assert np.exp(found[0] - found[2]) == pytest.approx(5, rel=0.1)


def test_where_nothing_else_could_be_drawn_negatives_say_nothing() -> None:
    assert log_chance_of_others(np.asarray([1.0, 9.0]), 0.0).tolist() == [0.0, 0.0]
