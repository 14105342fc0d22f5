import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recops.metrics import ABSENT, METRICS, hit_rate_at_k, ndcg_at_k, rank_of, reciprocal_rank

RANKS = st.lists(st.one_of(st.integers(0, 50), st.just(ABSENT)), min_size=1, max_size=20)


def test_values_by_hand() -> None:
    ranks = [0, 1, 4, 5, ABSENT]
    assert ndcg_at_k(ranks, 5).tolist() == pytest.approx([1, 1 / math.log2(3), 1 / math.log2(6), 0, 0])
    assert hit_rate_at_k(ranks, 5).tolist() == [1, 1, 1, 0, 0]
    assert reciprocal_rank(ranks).tolist() == pytest.approx([1, 1 / 2, 1 / 5, 1 / 6, 0])


def test_a_uniform_ranking_of_twenty_has_the_published_expectation() -> None:
    ranks = np.arange(20)
    expected = {"hr@1": 0.05, "ndcg@5": 0.1474, "ndcg@10": 0.2272}
    assert {name: round(METRICS[name](ranks).mean(), 4) for name in expected} == expected


@given(RANKS)
def test_every_metric_is_between_zero_and_one_and_zero_only_for_what_is_not_shown(ranks: list[int]) -> None:
    for values in (metric(ranks) for metric in METRICS.values()):
        assert ((values >= 0) & (values <= 1)).all()
    assert ((ndcg_at_k(ranks, 10) > 0) == (hit_rate_at_k(ranks, 10) > 0)).all()


@given(st.integers(0, 48))
def test_a_better_rank_is_never_worth_less(rank: int) -> None:
    for metric in METRICS.values():
        better, worse = metric([rank, rank + 1])
        assert better >= worse


def test_the_rank_of_an_item_is_its_place() -> None:
    assert rank_of(7, [3, 7, 9]) == 1
    assert rank_of(8, [3, 7, 9]) == ABSENT


def test_ranks_and_cut_offs_out_of_range_are_refused() -> None:
    with pytest.raises(ValueError, match="found -1"):
        ndcg_at_k([-1], 5)
    with pytest.raises(ValueError, match="found 0"):
        hit_rate_at_k([1], 0)
