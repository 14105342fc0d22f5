import numpy as np
from scipy.sparse import csr_matrix

from recops.retrieval.factors import ItemFactors
from recops.retrieval.fit_data import FitRows

NUM_ITEMS, COLD = 9, 9
"""Users of even number take items 1 to 4, the others 5 to 8; item 9 is nobody's."""


def rows() -> FitRows:
    users = np.repeat(np.arange(20), 3)
    items = users % 2 * 4 + (users // 2 + np.tile(np.arange(3), 20)) % 4 + 1
    return FitRows(users, items, np.arange(len(users)), NUM_ITEMS)


def fitted(seed: int = 1) -> ItemFactors:
    return ItemFactors(rows(), width=4, regularization=0.1, confidence=5.0, iterations=10, seed=seed)


def histories(*histories: list[int]) -> csr_matrix:
    weights = np.zeros((len(histories), NUM_ITEMS + 1))
    for row, items in enumerate(histories):
        weights[row, items] = 0.7
    return csr_matrix(weights)


def test_what_like_users_take_scores_higher() -> None:
    scores = fitted().scores(histories([1, 2], [5, 7]))
    assert scores[0, [3, 4]].min() > scores[0, 5:9].max()
    assert scores[1, [6, 8]].min() > scores[1, 1:5].max()


def test_a_user_is_folded_in_as_least_squares_say_each_item_once() -> None:
    model = fitted()
    factors = np.asarray(model._model.item_factors, dtype=np.float64)
    taken = np.isin(np.arange(NUM_ITEMS + 1), [1, 6])
    confidence = np.where(taken, 5.0, 1.0)
    normal = factors.T @ (confidence[:, None] * factors) + 0.1 * np.eye(4)
    user = np.linalg.solve(normal, factors.T @ (confidence * taken))
    known = slice(1, COLD)
    np.testing.assert_allclose(model.scores(histories([1, 6]))[0, known], (factors @ user)[known], rtol=1e-3, atol=1e-4)


def test_an_unseen_item_and_a_history_without_a_seen_one_have_no_score() -> None:
    scores = fitted().scores(histories([1], [COLD]))
    assert np.isnan(scores[0]).tolist() == [True, *[False] * 8, True]
    assert np.isnan(scores[1]).all()


def test_same_seed_same_scores() -> None:
    one, same, other = (fitted(seed).scores(histories([1, 2])) for seed in (1, 1, 2))
    np.testing.assert_array_equal(one, same)
    assert (one != other)[0, 1:9].any()
