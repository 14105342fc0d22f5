"""Matrix factorization of who took what, by alternating least squares (Hu, Koren and Volinsky 2008): `implicit`'s.

Item factors are fitted on `tool_fit`; a sample's user is folded in from the sample's own history, so that new users and
events after `tool_fit` count.

Shape suffixes: U users, C samples, D width, J = I + 1 columns for the items with padding.
"""

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix
from threadpoolctl import threadpool_limits

from recops.progress import progress
from recops.retrieval.fit_data import FitRows
from recops.retrieval.histories import only_columns


class ItemFactors:
    """Item factors, and the users that follow from histories."""

    def __init__(
        self, rows: FitRows, *, width: int, regularization: float, confidence: float, iterations: int, seed: int
    ) -> None:
        """Fit on `rows`; `confidence` is how much more a taken item weighs than one that was not taken (alpha)."""
        from implicit.cpu.als import AlternatingLeastSquares

        self._known_J = rows.known_items()
        shape = (int(rows.users.max()) + 1, rows.num_items + 1)
        taken_UJ = csr_matrix((np.ones(len(rows), dtype=np.float32), (rows.users, rows.items)), shape=shape)
        taken_UJ.data[:] = 1.0
        # One thread: the library asks for it, and the order of sums must not depend on the machine's load.
        with threadpool_limits(1, "blas"), progress("fitting item factors", iterations) as meter:
            self._model = AlternatingLeastSquares(
                factors=width,
                regularization=regularization,
                alpha=confidence,
                iterations=iterations,
                num_threads=1,
                random_state=seed,
            )
            self._model.fit(taken_UJ, show_progress=False, callback=lambda *_: meter.advance())

    def scores(self, weights_CJ: csr_matrix) -> NDArray[np.float64]:
        """Return the score of every item for the users of some histories, shape (C, J).

        What stands in a history counts once, whatever its weight. NaN for items that the fit has not seen, and for a
        history without any item that it has seen.
        """
        seen_CJ = only_columns(weights_CJ, self._known_J).astype(np.float32)
        seen_CJ.data[:] = 1.0
        with threadpool_limits(1, "blas"):
            users_CD = self._model.recalculate_user(np.arange(seen_CJ.shape[0]), seen_CJ)
            scores_CJ: NDArray[np.float64] = (users_CD @ self._model.item_factors.T).astype(np.float64)
        scores_CJ[:, ~self._known_J] = np.nan
        scores_CJ[np.diff(seen_CJ.indptr) == 0] = np.nan
        return scores_CJ
