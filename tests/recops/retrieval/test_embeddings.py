import numpy as np
import pytest

from recops.errors import InputError
from recops.retrieval.embeddings import check_embeddings, effective_rank, mean_cosine

SPREAD = np.random.default_rng(0).normal(size=(50, 6)).astype(np.float32)


def test_geometry_equals_its_definition() -> None:
    assert effective_rank(np.eye(5, dtype=np.float32)) == pytest.approx(5)
    unit = SPREAD / np.linalg.norm(SPREAD, axis=1, keepdims=True)
    cosines = (unit @ unit.T)[~np.eye(50, dtype=bool)]
    assert mean_cosine(SPREAD) == pytest.approx(cosines.mean(), abs=1e-6)


def test_spread_embeddings_pass() -> None:
    check_embeddings(SPREAD, "items")


@pytest.mark.parametrize(
    ("vectors", "message"),
    [
        (SPREAD * 0, "collapsed"),
        (np.ones_like(SPREAD), "collapsed"),
        (SPREAD[:, :1] * np.ones((1, 6), np.float32), "collapsed"),
        (np.where(np.arange(50)[:, None] == 3, np.nan, SPREAD), "1 vectors that are not finite"),
    ],
)
def test_collapsed_embeddings_are_refused(vectors: np.ndarray, message: str) -> None:
    with pytest.raises(InputError, match=message):
        check_embeddings(vectors, "items")
