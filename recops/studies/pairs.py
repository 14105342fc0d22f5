"""Differences of systems on the same samples, tested over users and corrected together.

Shape suffixes: N samples, P pairs.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from recops.evaluate.statistics import Difference, holm, paired_differences
from recops.studies.plan import Study
from recops.studies.rows import Row

Pair = tuple[str, str]
"""Two systems as VARIANT/SYSTEM: how far the first is above the second."""


def tested_pairs(
    study: Study, rows: Mapping[str, Row], pairs: Sequence[Pair], users_N: NDArray[np.int64], *, seed: int
) -> dict[Pair, tuple[Difference, float]]:
    """Return each pair's difference in NDCG@10 and its p-value, corrected for all of them (Holm)."""
    if not pairs:
        return {}
    means = {name: row.values.mean(axis=0) for name, row in rows.items()}
    deltas_NP = np.stack([means[one] - means[other] for one, other in pairs], axis=1)
    found = paired_differences(deltas_NP, users_N, draws=study.bootstrap_draws, confidence=study.confidence, seed=seed)
    corrected = holm([one.p_value for one in found])
    return {pair: (one, float(p)) for pair, one, p in zip(pairs, found, corrected, strict=True)}
