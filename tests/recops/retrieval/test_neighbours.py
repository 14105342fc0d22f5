import numpy as np
import pytest

from recops.records import Event, Sample
from recops.retrieval.fit_data import FitRows
from recops.retrieval.histories import history_weights
from recops.retrieval.neighbours import ItemNeighbours

NUM_ITEMS = 5
TAKEN = [(0, 1), (0, 2), (0, 2), (1, 1), (1, 2), (1, 3), (2, 1), (2, 3), (3, 4)]
"""User 0 takes item 2 twice: one user of both, not two. Item 1 has 3 users, 2 has 2, 3 has 2, 4 has 1, 5 has none."""


def rows() -> FitRows:
    users, items = (np.array(column, dtype=np.int64) for column in zip(*TAKEN, strict=True))
    return FitRows(users, items, np.arange(len(TAKEN), dtype=np.int64), NUM_ITEMS)


def sample(*items: int) -> Sample:
    history = tuple(Event(item, time, None) for time, item in enumerate(items))
    return Sample(0, 9, 5, 100, "test", (5,), history, target_is_warm=False)


def scores(neighbours: ItemNeighbours, *items: int, length: int = 10, decay: float = 1.0) -> list[float]:
    weights = history_weights([sample(*items)], NUM_ITEMS, length=length, decay=decay)
    return neighbours.scores(weights)[0].tolist()


def test_similarity_is_the_shrunk_cosine_of_who_took_both() -> None:
    similarity = ItemNeighbours.fit(rows(), num_neighbours=9, shrinkage=0.5).similarity_JJ.toarray()
    expected = np.zeros((6, 6))
    expected[1, 2] = expected[2, 1] = 2 / (np.sqrt(3 * 2) + 0.5)
    expected[1, 3] = expected[3, 1] = 2 / (np.sqrt(3 * 2) + 0.5)
    expected[2, 3] = expected[3, 2] = 1 / (np.sqrt(2 * 2) + 0.5)
    np.testing.assert_allclose(similarity, expected)


def test_only_the_nearest_neighbours_of_an_item_speak_and_of_equal_ones_the_lower() -> None:
    similarity = ItemNeighbours.fit(rows(), num_neighbours=1, shrinkage=0.0).similarity_JJ.toarray()
    assert similarity[1].nonzero()[0].tolist() == [2]
    assert similarity[2].nonzero()[0].tolist() == [1]
    assert similarity[3].nonzero()[0].tolist() == [1]


def test_score_is_the_sum_over_the_history_newest_first_in_weight() -> None:
    neighbours = ItemNeighbours.fit(rows(), num_neighbours=9, shrinkage=0.0)
    found = scores(neighbours, 2, 1, decay=0.5)
    assert found[3] == pytest.approx(0.5 * 1 / 2 + 1 * 2 / np.sqrt(6))
    assert scores(neighbours, 2, 1, length=1, decay=0.5)[3] == pytest.approx(2 / np.sqrt(6))


def test_an_item_that_is_no_neighbour_has_no_score() -> None:
    found = scores(ItemNeighbours.fit(rows(), num_neighbours=9, shrinkage=0.0), 1)
    assert np.isnan(found).tolist() == [True, True, False, False, True, True]


def test_rows_in_several_chunks_give_the_same_neighbours(monkeypatch: pytest.MonkeyPatch) -> None:
    whole = ItemNeighbours.fit(rows(), num_neighbours=1, shrinkage=1.0).similarity_JJ.toarray()
    monkeypatch.setattr("recops.retrieval.neighbours._ROWS_PER_CHUNK", 2)
    np.testing.assert_array_equal(
        ItemNeighbours.fit(rows(), num_neighbours=1, shrinkage=1.0).similarity_JJ.toarray(), whole
    )
