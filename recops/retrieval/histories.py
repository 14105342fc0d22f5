"""Histories of many samples as one sparse matrix, so that a score of every item is a matrix product.

Shape suffixes: C samples, J = I + 1 columns for the items with padding (column i is item i).
"""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.sparse import csr_matrix

from recops.records import Sample


def history_weights(samples: Sequence[Sample], num_items: int, *, length: int, decay: float) -> csr_matrix:
    """Return the weight of each item in the last `length` events of each history, float64, shape (C, J).

    The newest event weighs 1, each one before it `decay` of the one after it; an item that stands there twice has the
    sum. Every history is cut before its sample's target.
    """
    latest = [sample.history[-length:] for sample in samples]
    lengths = np.fromiter(map(len, latest), dtype=np.int64, count=len(latest))
    items = np.fromiter((event.item for events in latest for event in events), dtype=np.int64, count=lengths.sum())
    rows = np.repeat(np.arange(len(latest)), lengths)
    age = np.repeat(np.cumsum(lengths), lengths) - 1 - np.arange(len(items))
    weights_CJ = csr_matrix((decay**age, (rows, items)), shape=(len(latest), num_items + 1))
    weights_CJ.sum_duplicates()
    return weights_CJ


def only_columns(weights_CJ: csr_matrix, kept_J: NDArray[np.bool_]) -> csr_matrix:
    """Return the matrix without the columns where `kept_J` is false."""
    kept = weights_CJ.copy()
    kept.data *= kept_J[kept.indices]
    kept.eliminate_zeros()
    return kept
