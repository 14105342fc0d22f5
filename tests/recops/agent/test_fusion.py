import itertools

import numpy as np
import pytest

from recops.agent.fusion import UNKNOWN, Fusion, Source, ask, read_order, sources_of
from recops.tools.toolbox import Toolbox
from tests.recops.agent.world import AGENT, all_tasks, changed

GOOD, NOISE, LATE = (
    Source("rank_by_next_item", None),
    Source("rank_by_similarity", None),
    Source("get_similar_users", None),
)
NUM_TASKS, NUM_CANDIDATES = 400, 8


def ranks_where_the_first_source_knows() -> tuple[np.ndarray, np.ndarray]:
    """The target is high in the first list, anywhere in the second, and unknown to the third."""
    generator = np.random.default_rng(0)
    targets_N = generator.integers(NUM_CANDIDATES, size=NUM_TASKS)
    ranks_NSK = np.empty((NUM_TASKS, 3, NUM_CANDIDATES), dtype=np.int64)
    for task, target in enumerate(targets_N):
        scores = generator.normal(size=(3, NUM_CANDIDATES))
        scores[0, target] += 2.0
        ranks_NSK[task] = np.argsort(np.argsort(-scores, axis=1), axis=1)
        ranks_NSK[task, 2, target] = UNKNOWN
    return ranks_NSK, targets_N


@pytest.fixture(scope="module")
def fusion() -> Fusion:
    return Fusion((GOOD, NOISE, LATE), *ranks_where_the_first_source_knows(), rank_constant=1.0)


def test_an_order_is_read_back_as_ranks() -> None:
    assert read_order("Order: C A\nUnknown: B D", 4).tolist() == [1, UNKNOWN, 0, UNKNOWN]
    assert read_order("Unknown: B A", 2).tolist() == [UNKNOWN, UNKNOWN]


def test_a_source_that_knows_gets_more_weight_than_noise(fusion: Fusion) -> None:
    good, noise, *_ = fusion.weights((0, 1))

    assert good > 1.0 > abs(noise)


def test_unknown_counts_where_targets_are_unknown(fusion: Fusion) -> None:
    scores = fusion.scores({LATE: np.array([0, 1, UNKNOWN])})

    assert int(np.argmax(scores)) == 2


def test_a_fitted_fusion_is_no_worse_than_its_best_source(fusion: Fusion) -> None:
    assert fusion.ndcg((0, 1)) >= max(fusion.ndcg((0,)), fusion.ndcg((1,))) - 1e-3


def test_the_best_set_is_the_best_of_all_of_its_size(fusion: Fusion) -> None:
    sets = list(itertools.combinations(range(3), 2))

    assert fusion.ndcg(fusion.best(2)) == max(map(fusion.ndcg, sets))


def test_ndcg_of_a_single_source_counts_unknown_targets_by_expectation() -> None:
    ranks_NSK = np.array([[[0, 1, UNKNOWN, UNKNOWN]]])
    gains = 1 / np.log2(np.arange(4) + 2.0)

    single = [Fusion((GOOD,), ranks_NSK, np.array([target]), 1.0).single_ndcg()[GOOD.name] for target in range(4)]

    assert single == pytest.approx([gains[0], gains[1], gains[2:].mean(), gains[2:].mean()])


def test_the_rank_constant_changes_the_weights() -> None:
    data = ranks_where_the_first_source_knows()

    weights = [Fusion((GOOD, NOISE, LATE), *data, rank_constant=constant).weights((0, 1)) for constant in (1.0, 9.0)]

    assert not np.allclose(*weights)


def test_sources_are_those_of_the_suite() -> None:
    assert [one.name for one in sources_of(changed(tools=("rank_by_popularity", "get_item_info")))] == [
        "rank_by_popularity/recent",
        "rank_by_popularity/ever",
    ]


def test_what_tools_say_is_what_the_fit_reads(toolbox: Toolbox) -> None:
    tasks, sources = all_tasks(toolbox)[:3], sources_of(AGENT)

    ranks_NSK = ask(toolbox, tasks, sources)

    assert ranks_NSK.shape == (3, 5, 6)
    text = toolbox.call(tasks[1], "rank_by_popularity", {"window": "ever"})
    assert ranks_NSK[1, 3].tolist() == read_order(text, 6).tolist()


def test_the_most_telling_source_comes_first(fusion: Fusion) -> None:
    order = fusion.best_first(3)

    assert sorted(order) == [0, 1, 2]
    assert [fusion.ndcg((place,)) for place in order] == sorted((fusion.ndcg((one,)) for one in range(3)), reverse=True)
