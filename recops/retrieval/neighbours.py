"""Item-kNN: how near two items are by who took both (Deshpande and Karypis 2004). A fitted thing: `tool_fit` only.

Shape suffixes: U users, C samples, J = I + 1 columns for the items with padding (column i is item i).
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix, vstack

from recops.retrieval.fit_data import FitRows

_ROWS_PER_CHUNK = 1024


class ItemNeighbours:
    """The nearest neighbours of each item: similarity_JJ[i, j] is how much a user of item i speaks for item j."""

    def __init__(self, similarity_JJ: csr_matrix) -> None:
        self.similarity_JJ = similarity_JJ

    @classmethod
    def fit(cls, rows: FitRows, *, num_neighbours: int, shrinkage: float) -> "ItemNeighbours":
        """Count who took both, once per user, and keep the nearest `num_neighbours` of each item.

        similarity = users of both / (sqrt(users of one x users of the other) + shrinkage): a cosine that pairs seen
        once or twice are not trusted with. No item is its own neighbour; of equal ones the lower number is kept.
        """
        shape = (int(rows.users.max()) + 1, rows.num_items + 1)
        taken_UJ = csr_matrix((np.ones(len(rows)), (rows.users, rows.items)), shape=shape)
        taken_UJ.data[:] = 1.0
        num_users_J = np.asarray(taken_UJ.sum(axis=0)).ravel()
        by_item_JU = taken_UJ.T.tocsr()
        chunks = []
        for start in range(0, shape[1], _ROWS_PER_CHUNK):
            both = (by_item_JU[start : start + _ROWS_PER_CHUNK] @ taken_UJ).tocsr()
            row, column = np.repeat(np.arange(both.shape[0]) + start, np.diff(both.indptr)), both.indices
            both.data /= np.sqrt(num_users_J[row] * num_users_J[column]) + shrinkage
            both.data[row == column] = 0.0
            chunks.append(_nearest(both, num_neighbours))
        return cls(vstack(chunks, format="csr"))

    def scores(self, weights_CJ: csr_matrix) -> NDArray[np.float64]:
        """Return the weighted sum of the history's similarities to every item, shape (C, J).

        NaN where no item of the history has it as a neighbour: that says nothing.
        """
        scores_CJ = np.asarray((weights_CJ @ self.similarity_JJ).todense(), dtype=np.float64)
        return np.where(scores_CJ > 0, scores_CJ, np.nan)


def _nearest(similarity: csr_matrix, k: int) -> csr_matrix:
    """Return the k largest positive entries of each row."""
    row = np.repeat(np.arange(similarity.shape[0]), np.diff(similarity.indptr))
    order = np.lexsort((similarity.indices, -similarity.data, row))
    place = np.arange(len(order)) - similarity.indptr[row]  # rows keep their lengths when sorted
    kept = order[(place < k) & (similarity.data[order] > 0)]
    triples = (similarity.data[kept], (row[kept], similarity.indices[kept]))
    return csr_matrix(triples, shape=similarity.shape)
