import numpy as np
import pytest

from recops.retrieval import index
from recops.retrieval.embeddings import UserStates
from recops.retrieval.index import ExactIndex, InvertedIndex, recall
from recops.retrieval.user_index import user_index, user_index_recall


@pytest.mark.parametrize("chunk", [7, 65_536])
def test_neighbours_equal_a_full_sort_without_the_excluded_row(chunk: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(index, "_VECTORS_PER_CHUNK", chunk)
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(40, 5)).astype(np.float32)
    queries = generator.normal(size=(1030, 5)).astype(np.float32)
    excluded = generator.integers(-1, 40, 1030)
    rows, cosines = ExactIndex(vectors).nearest(queries, 6, excluded_Q=excluded)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    full = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ unit.T
    full[excluded >= 0, excluded[excluded >= 0]] = -np.inf
    np.testing.assert_array_equal(rows, np.argsort(-full, axis=1, kind="stable")[:, :6])
    np.testing.assert_allclose(cosines, -np.sort(-full, axis=1)[:, :6], rtol=1e-5)


def test_equal_neighbours_are_in_the_order_of_rows() -> None:
    rows, _ = ExactIndex(np.ones((5, 2), np.float32)).nearest(np.ones((1, 2), np.float32), 9, excluded_Q=np.array([1]))
    assert rows.tolist() == [[0, 2, 3, 4, 1]]


def clustered(number: int) -> np.ndarray:
    """Vectors as states are: many directions, and most of them near others."""
    generator = np.random.default_rng(0)
    centres = generator.normal(size=(50, 16))
    return (centres[generator.integers(0, 50, number)] + 0.5 * generator.normal(size=(number, 16))).astype(np.float32)


def test_inverted_index_finds_most_of_the_nearest_and_never_the_excluded() -> None:
    vectors = clustered(4000)
    asked = np.arange(0, 4000, 40)
    found, cosines = InvertedIndex(vectors).nearest(vectors[asked], 20, excluded_Q=asked)
    exact, _ = ExactIndex(vectors).nearest(vectors[asked], 20, excluded_Q=asked)
    assert not (found == asked[:, None]).any()
    assert (np.diff(cosines, axis=1) <= 0).all()
    assert 0.8 < recall(found, exact) <= 1.0
    again, _ = InvertedIndex(vectors).nearest(vectors[asked], 20, excluded_Q=asked)
    np.testing.assert_array_equal(found, again)


def test_recall_is_the_mean_share() -> None:
    assert recall(np.array([[1, 2], [3, -1]]), np.array([[2, 1], [3, 4]])) == 0.75


def test_the_size_in_the_recipe_decides_between_exact_and_index() -> None:
    states = clustered(3000)
    exact, other = (UserStates(np.arange(3000), states, limit) for limit in (3000, 2999))
    assert isinstance(user_index(exact), ExactIndex)
    assert isinstance(user_index(other), InvertedIndex)
    assert user_index_recall(exact, seed=1) == 1.0
    assert 0.5 < user_index_recall(other, seed=1) < 1.0
