import numpy as np

from recops.retrieval.index import nearest


def test_neighbours_equal_a_full_sort_without_the_excluded_row() -> None:
    generator = np.random.default_rng(0)
    vectors = generator.normal(size=(40, 5)).astype(np.float32)
    queries = generator.normal(size=(1030, 5)).astype(np.float32)
    excluded = generator.integers(-1, 40, 1030)
    rows, cosines = nearest(queries, vectors, 6, excluded_Q=excluded)
    unit = vectors / np.linalg.norm(vectors, axis=1, keepdims=True)
    full = (queries / np.linalg.norm(queries, axis=1, keepdims=True)) @ unit.T
    full[excluded >= 0, excluded[excluded >= 0]] = -np.inf
    np.testing.assert_array_equal(rows, np.argsort(-full, axis=1, kind="stable")[:, :6])
    np.testing.assert_allclose(cosines, -np.sort(-full, axis=1)[:, :6], rtol=1e-5)


def test_equal_neighbours_are_in_the_order_of_rows() -> None:
    rows, _ = nearest(np.ones((1, 2), np.float32), np.ones((5, 2), np.float32), 9, excluded_Q=np.array([1]))
    assert rows.tolist() == [[0, 2, 3, 4, 1]]
