import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops.config.validated_splits import CandidatesConfig
from recops.data.candidates import candidate_set, draw_negatives, sample_generator
from recops.errors import InputError

UNIFORM = CandidatesConfig(num_candidates=6, negatives="uniform")
POPULARITY = CandidatesConfig(num_candidates=6, negatives="popularity")
NUM_ITEMS = 30


@given(
    target=st.integers(1, NUM_ITEMS),
    history=st.lists(st.integers(1, NUM_ITEMS), max_size=40).map(lambda items: items[:24]),
    seed=st.integers(0, 2**31 - 1),
    config=st.sampled_from([UNIFORM, POPULARITY]),
)
def test_a_set_holds_the_target_once_and_nothing_of_the_history(
    target: int, history: list[int], seed: int, config: CandidatesConfig
) -> None:
    candidates = candidate_set(
        target,
        np.asarray(history, dtype=np.int32),
        config=config,
        item_counts=np.arange(1, NUM_ITEMS + 1),
        generator=np.random.default_rng(seed),
    )
    assert candidates.dtype == np.int32
    assert len(set(candidates.tolist())) == config.num_candidates
    assert (candidates == target).sum() == 1
    assert not set(candidates.tolist()) - {target} & set(history)
    assert candidates.min() >= 1
    assert candidates.max() <= NUM_ITEMS


def drawn(config: CandidatesConfig, history: list[int], times: int = 4000) -> np.ndarray:
    """How often each item was a candidate with target 1, per draw: (NUM_ITEMS + 1,)."""
    generator = np.random.default_rng(3)
    counts = np.zeros(NUM_ITEMS + 1)
    for _ in range(times):
        row = candidate_set(
            1,
            np.asarray(history, dtype=np.int32),
            config=config,
            item_counts=np.where(np.arange(1, NUM_ITEMS + 1) <= 10, 9, 1),
            generator=generator,
        )
        counts[row] += 1
    return counts / times


def test_uniform_negatives_are_even_over_the_items_outside_the_history() -> None:
    shares = drawn(UNIFORM, history=[2, 3, 4])
    assert shares[2:5].sum() == 0
    # 5 negatives from 26 items; the standard error of a share is .006, five of them are the tolerance.
    np.testing.assert_allclose(shares[5:], 5 / 26, atol=0.032)


def test_popularity_negatives_follow_how_often_an_item_was_taken() -> None:
    shares = drawn(POPULARITY, history=[2, 3, 4], times=1000)
    assert shares[5:11].min() > 2 * shares[11:].max()


def test_the_target_stands_at_every_place_alike() -> None:
    generator = np.random.default_rng(3)
    places = np.zeros(6)
    for _ in range(3000):
        row = candidate_set(
            7, np.asarray([2], np.int32), config=UNIFORM, item_counts=np.ones(NUM_ITEMS, np.int64), generator=generator
        )
        places[np.flatnonzero(row == 7)] += 1
    np.testing.assert_allclose(places / 3000, 1 / 6, atol=0.034)  # five standard errors of .0068


def test_too_few_items_are_refused_with_the_numbers() -> None:
    with pytest.raises(InputError, match=r"found 8 items, of which 4 .*; expected at least 5 others"):
        draw_negatives(
            5,
            num_items=8,
            excluded=np.asarray([1, 2, 2, 3, 4], np.int32),
            weights=None,
            generator=np.random.default_rng(0),
        )


def test_a_history_that_leaves_just_enough_items_is_served() -> None:
    kept = draw_negatives(
        5, num_items=8, excluded=np.asarray([1, 2, 3], np.int32), weights=None, generator=np.random.default_rng(0)
    )
    assert sorted(kept.tolist()) == [4, 5, 6, 7, 8]


def test_a_samples_draw_depends_on_seed_user_item_and_time_only() -> None:
    def first(seed: int, user_id: str, item_id: str, timestamp: int) -> float:
        return sample_generator(seed, user_id=user_id, item_id=item_id, timestamp=timestamp).random()

    base = (1, "u", "i", 5)
    assert first(*base) == first(*base)
    assert (
        len({first(*base), first(2, "u", "i", 5), first(1, "v", "i", 5), first(1, "u", "j", 5), first(1, "u", "i", 6)})
        == 5
    )
