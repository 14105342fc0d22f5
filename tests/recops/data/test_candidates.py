import hashlib
from typing import Literal

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import chisquare

from recops.data import candidates as module
from recops.data.candidates import (
    ItemOdds,
    Items,
    Moments,
    candidates_sha256,
    draw_candidates,
    draw_from_pools,
    item_odds,
)
from recops.data.random_bits import sample_keys, text_keys
from recops.data.taken import TakenItems
from recops.errors import InputError

NUM_ITEMS = 30
WEIGHTS = np.where(np.arange(1, NUM_ITEMS + 1) <= 10, 9, 1)


def draw(
    *,
    histories: list[list[int]],
    targets: list[int],
    count: int = 6,
    num_items: int = NUM_ITEMS,
    weights: np.ndarray | None = None,
    seed: int = 3,
) -> Items:
    """User u has taken `histories[u]` and is then asked about `targets[u]` (0: about nothing)."""
    rows = [(user, item) for user, items in enumerate(histories) for item in items]
    users, items = (np.array(column, dtype=np.int32) for column in zip(*rows, strict=True))
    ends = np.cumsum([len(items) for items in histories])
    keys = sample_keys(
        seed,
        user_keys_S=text_keys(f"u{user}" for user in range(len(targets))),
        item_keys_S=text_keys(f"i{target}" for target in targets),
        times_S=np.arange(len(targets), dtype=np.int64),
    )
    starts = ends - [len(items) for items in histories]
    everyone = np.arange(len(targets), dtype=np.int32)
    moments = Moments(keys, everyone, np.array(targets, dtype=np.int32), starts, ends)
    return draw_candidates(moments, count, odds=ItemOdds(num_items, weights), taken=TakenItems(users, items, num_items))


@given(
    histories=st.lists(st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=25), min_size=1, max_size=5),
    targets=st.lists(st.integers(1, NUM_ITEMS), min_size=5, max_size=5),
    seed=st.integers(0, 2**31 - 1),
    weighted=st.booleans(),
)
def test_a_set_holds_the_target_once_and_nothing_else_of_the_history(
    histories: list[list[int]], targets: list[int], seed: int, weighted: bool
) -> None:
    targets = targets[: len(histories)]
    drawn = draw(histories=histories, targets=targets, count=5, seed=seed, weights=WEIGHTS if weighted else None)
    assert drawn.dtype == np.int32
    assert drawn.shape == (len(histories), 5)
    for row, target, history in zip(drawn.tolist(), targets, histories, strict=True):
        assert row.count(target) == 1
        assert len(set(row)) == 5
        assert not set(row) - {target} & set(history)
        assert set(row) <= set(range(1, NUM_ITEMS + 1))


@given(st.lists(st.integers(1, NUM_ITEMS), min_size=1, max_size=6), st.permutations(range(6)))
@settings(max_examples=30)
def test_a_draw_does_not_depend_on_the_samples_beside_it(history: list[int], order: list[int]) -> None:
    histories, targets = [[*history, extra + 1] for extra in range(6)], list(range(20, 26))
    users, items = np.repeat(np.arange(6), len(history) + 1).astype(np.int32), np.concatenate(histories)
    taken, odds = TakenItems(users, items.astype(np.int32), NUM_ITEMS), ItemOdds(NUM_ITEMS, WEIGHTS)
    ends = (np.arange(6) + 1) * (len(history) + 1)
    keys = text_keys(f"s{number}" for number in range(6))
    whole = Moments(
        keys, np.arange(6, dtype=np.int32), np.array(targets, np.int32), ends - len(history) - 1, ends.astype(np.int64)
    )
    together = draw_candidates(whole, 8, odds=odds, taken=taken)
    mixed = draw_candidates(whole.select(np.array(order)), 8, odds=odds, taken=taken)
    assert mixed.tolist() == together[order].tolist()
    for one in range(6):
        alone = draw_candidates(whole.select(slice(one, one + 1)), 8, odds=odds, taken=taken)
        assert alone[0].tolist() == together[one].tolist()


def shares(times: int, history: list[int], weights: np.ndarray | None = None, *, target: int = 1) -> np.ndarray:
    """How often each item was a candidate, per draw: (NUM_ITEMS + 1,)."""
    drawn = draw(histories=[history] * times, targets=[target] * times, weights=weights)
    return np.bincount(drawn.ravel(), minlength=NUM_ITEMS + 1) / times


def test_uniform_negatives_are_even_over_the_items_outside_the_history() -> None:
    found = shares(4000, history=[2, 3, 4])
    assert found[2:5].sum() == 0
    # 5 negatives from 26 items; the standard error of a share is .006, five of them are the tolerance.
    np.testing.assert_allclose(found[5:], 5 / 26, atol=0.032)


@pytest.mark.parametrize("rounds", [32, 0])
def test_weighted_negatives_have_the_chances_of_drawing_one_after_the_other(
    rounds: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without rounds, all of them come from the race for the last ones: the same distribution."""
    monkeypatch.setattr(module, "_MAX_ROUNDS", rounds)
    found = shares(4000, history=[2, 3, 4], weights=WEIGHTS)
    generator, others = np.random.default_rng(1), np.arange(5, NUM_ITEMS + 1)
    chances = WEIGHTS[others - 1] / WEIGHTS[others - 1].sum()
    plain = [generator.choice(others, 5, replace=False, p=chances) for _ in range(4000)]
    expected = np.bincount(np.concatenate(plain), minlength=NUM_ITEMS + 1) / 4000
    # Both sides are drawn: the standard error of their difference is at most .011.
    np.testing.assert_allclose(found[5:], expected[5:], atol=0.05)


@pytest.mark.parametrize("weights", [None, WEIGHTS])
def test_the_target_stands_at_every_place_alike(weights: np.ndarray | None) -> None:
    drawn = draw(histories=[[2]] * 6000, targets=[7] * 6000, weights=weights)
    places = np.bincount(np.nonzero(drawn == 7)[1], minlength=6)
    assert chisquare(places).pvalue > 0.001


def test_popular_negatives_stand_at_every_place_alike() -> None:
    drawn = draw(histories=[[2]] * 6000, targets=[30] * 6000, weights=WEIGHTS)
    places = np.bincount(np.nonzero((drawn <= 10) & (drawn > 2))[1], minlength=6)
    assert chisquare(places).pvalue > 0.001


def test_what_is_nearly_never_drawn_is_found_when_nothing_else_is_left() -> None:
    weights = np.array([10**6] * 4 + [1] * 6)
    drawn = draw(histories=[[1, 2, 3]] * 3, targets=[4, 5, 6], count=6, num_items=10, weights=weights)
    for row, target in zip(drawn.tolist(), (4, 5, 6), strict=True):
        assert target in row
        assert set(row) - {4} <= {5, 6, 7, 8, 9, 10}
        assert len(set(row)) == 6


def test_just_enough_items_are_all_drawn_and_one_fewer_is_refused_with_the_numbers() -> None:
    whole = draw(histories=[[1, 2, 2, 3]], targets=[4], count=5, num_items=8)
    assert sorted(whole[0].tolist()) == [4, 5, 6, 7, 8]
    with pytest.raises(InputError, match=r"found 8 items, of which 3 .*; expected at least 6 outside"):
        draw(histories=[[5], [1, 2, 2, 3]], targets=[4, 4], count=6, num_items=8)


def test_without_a_target_all_candidates_come_from_outside_the_history() -> None:
    drawn = draw(histories=[[1, 2], [9]], targets=[0, 0], count=7)
    assert drawn.min() >= 1
    assert all(len(set(row)) == 7 for row in drawn.tolist())
    assert not {1, 2} & set(drawn[0].tolist())
    assert 9 not in drawn[1]


@pytest.mark.parametrize(("negatives", "expected"), [("uniform", [1, 1, 1]), ("popularity", [2, 1, 3])])
def test_the_recipes_negatives_decide_the_odds(
    negatives: Literal["uniform", "popularity"], expected: list[int]
) -> None:
    taken = np.array([1, 3, 3, 1, 2, 3], dtype=np.int32)
    odds = item_odds(negatives, taken, 3)
    assert odds.weights_I.tolist() == expected


def test_the_hash_is_of_everything_that_makes_a_test_set() -> None:
    def hashed(candidates: list[int], user: int = 0, time: int = 5, ids: str = "ab") -> str:
        return candidates_sha256(
            np.array([candidates], np.int32), users_S=np.array([user]), times_S=np.array([time]), item_ids=list(ids)
        )

    base = hashed([1, 2])
    assert base == hashed([1, 2])
    assert len({base, hashed([2, 1]), hashed([1, 2], user=1), hashed([1, 2], time=6), hashed([1, 2], ids="ba")}) == 5
    assert len(base) == len(hashlib.sha256().hexdigest())


def test_negatives_from_a_pool_are_even_over_it_and_never_its_gaps() -> None:
    times = 4000
    keys = text_keys(f"s{number}" for number in range(times))
    nothing = np.zeros(times, dtype=np.int64)
    moments = Moments(keys, nothing.astype(np.int32), np.full(times, 9, np.int32), nothing, nothing)
    pools = np.tile(np.array([3, 0, 5, 7, 0, 11], dtype=np.int32), (times, 1))
    drawn = draw_from_pools(moments, pools, 3)
    assert ((drawn == 9).sum(axis=1) == 1).all()
    counts = np.bincount(drawn.ravel(), minlength=12)
    assert counts[[3, 5, 7, 11]].sum() == 2 * times
    assert chisquare(counts[[3, 5, 7, 11]]).pvalue > 0.001
    assert chisquare(np.bincount(np.nonzero(drawn == 9)[1], minlength=3)).pvalue > 0.001
