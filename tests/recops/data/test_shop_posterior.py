from functools import cache

import numpy as np
import polars as pl
import pytest
from numpy.typing import NDArray

from recops.config.raw_data import SimulatedStoreConfig
from recops.data.shop_catalogue import build_catalogue
from recops.data.shop_posterior import Posterior, Prediction
from recops.data.shop_rules import KINDS, RULES, day_of
from recops.data.shop_truth import Shop
from recops.data.shopper import Choice, Shopper

DAYS = (10.5, 12.5, 14.5)
NUM_SHOPPERS = 5_000


@cache
def shop() -> Shop:
    """Fifty items: pools run dry, so that users find nothing of what they are led by."""
    size = {"num_users": 10, "num_items": 50, "num_days": 30, "interactions_per_user": 3.0, "weeks": 0}
    config = SimulatedStoreConfig.model_validate({"kind": "simulated_store", **size})
    return Shop(build_catalogue(config, 7), RULES)


@cache
def crowd() -> list[tuple[Shopper, list[Choice]]]:
    generator = np.random.default_rng(3)
    shoppers = [Shopper(shop().catalogue, RULES, generator) for _ in range(NUM_SHOPPERS)]
    return [(shopper, shopper.shop(np.asarray(DAYS), generator)) for shopper in shoppers]


@cache
def predictions() -> list[list[Prediction]]:
    """What is known of each shopper before its first, second and third choice."""
    found = []
    for _, choices in crowd():
        posterior, own = Posterior(shop()), []
        for item, time, rating in choices:
            own.append(posterior.predict(day_of(time)))
            posterior.observe(item, day_of(time), rating)
        found.append(own)
    return found


def excess(observed: NDArray[np.float64], expected: NDArray[np.float64]) -> float:
    """Pearson's chi-square over cells that are not too small, in standard deviations from what it is by chance."""
    kept = expected > 2
    degrees = kept.sum()
    statistic = ((observed[kept] - expected[kept]) ** 2 / expected[kept]).sum()
    return float((statistic - degrees) / np.sqrt(2 * degrees))


@pytest.mark.parametrize("step", [0, 1, 2])
def test_simulated_choices_are_as_frequent_as_predicted_from_what_came_before(step: int) -> None:
    """By the item before and the next one: 2,500 cells, of shoppers who are really simulated."""
    num_items = len(shop().catalogue.store)
    observed, expected = np.zeros((num_items, num_items)), np.zeros((num_items, num_items))
    for (_, choices), own in zip(crowd(), predictions(), strict=True):
        before = choices[step - 1][0] if step else 0
        observed[before, choices[step][0]] += 1
        expected[before] += own[step].chances
    assert observed[expected == 0].sum() == 0
    assert abs(excess(observed, expected)) < 4


@pytest.mark.parametrize("kind", KINDS)
def test_choices_of_a_kind_are_as_frequent_as_predicted_with_the_kind_known(kind: str) -> None:
    num_items = len(shop().catalogue.store)
    observed, expected = np.zeros((num_items, num_items)), np.zeros((num_items, num_items))
    for (shopper, choices), own in zip(crowd(), predictions(), strict=True):
        if shopper.kind == kind:
            observed[choices[1][0], choices[2][0]] += 1
            expected[choices[1][0]] += own[2].given_kind[shopper.kind]
    assert abs(excess(observed, expected)) < 4


def test_a_kind_that_is_given_a_chance_of_p_is_the_true_one_with_frequency_p() -> None:
    chances = np.asarray([[own[2].kinds[kind] for kind in KINDS] for own in predictions()])
    true = np.asarray([[shopper.kind == kind for kind in KINDS] for shopper, _ in crowd()])
    assert chances.max() > 0.9  # some are recognised
    for low, high in ((0.0, 0.1), (0.1, 0.3), (0.3, 0.6), (0.6, 0.9), (0.9, 1.0)):
        inside = (chances >= low) & (chances < high)
        deviation = np.sqrt((chances[inside] * (1 - chances[inside])).sum())
        assert abs(true[inside].sum() - chances[inside].sum()) < 4 * deviation


def test_chances_sum_to_one_and_leave_out_what_cannot_be_taken() -> None:
    for (_, choices), own in zip(crowd()[:200], predictions()[:200], strict=True):
        for step, prediction in enumerate(own):
            assert prediction.chances.sum() == pytest.approx(1)
            assert sum(prediction.kinds.values()) == pytest.approx(1)
            assert prediction.chances[[item for item, _, _ in choices[:step]]].sum() == 0
            assert prediction.chances[shop().catalogue.release_day > DAYS[step]].sum() == 0


def test_a_choice_that_no_hypothesis_allows_is_refused() -> None:
    posterior = Posterior(shop())
    late = int(np.argmax(shop().catalogue.release_day))
    with pytest.raises(ValueError, match="not on sale"):
        posterior.observe(late, 1.0, 5.0)


def test_a_rating_tells_whether_a_choice_followed_the_kind() -> None:
    """The same item with five stars speaks for its community more than with one star."""
    order = shop().catalogue.communities[1]
    known = []
    for rating in (1.0, 5.0):
        posterior = Posterior(shop())
        for item, day in zip(order[[0, 1]].tolist(), (28.0, 29.0), strict=True):
            posterior.observe(item, day, rating)
        known.append(posterior.kinds["community"])
    assert known[0] < known[1]


def test_tables_of_the_truth_have_the_words_of_the_titles() -> None:
    catalogue = shop().catalogue
    words = catalogue.words.with_columns(catalogue.table["title"])
    for part in ("noun", "qualifier", "use", "colour"):
        assert words.select(pl.col("title").str.contains(pl.col(part), literal=True).all()).item()
