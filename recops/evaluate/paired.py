"""Which differences are real: paired differences of systems on the same samples, tested together.

Shape suffixes: N samples, P pairs.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from recops.evaluate.statistics import holm, paired_differences
from recops.metrics import METRICS

MAIN_METRIC = "ndcg@10"

Role = Literal["predecessor", "best baseline", "reference"]


@dataclass(frozen=True)
class Paired:
    """How far `system` is above `against` in NDCG@10 on the same samples.

    Attributes:
        role: why these two: `against` is the stage before, the best baseline of the table, or named in the recipe.
        low, high: ends of the interval of this difference alone.
        p_value: of "no difference", alone.
        p_holm: the same, corrected for all comparisons of the table (Holm 1979).
        differs: whether `p_holm` is below 1 minus the confidence of the recipe.
    """

    system: str
    against: str
    role: Role
    mean: float
    low: float
    high: float
    p_value: float
    p_holm: float
    differs: bool


def paired_table(
    ranks: Mapping[str, NDArray[np.int64]],
    users_N: NDArray[np.int64],
    pairs: Sequence[tuple[str, str, Role]],
    *,
    draws: int,
    confidence: float,
    seed: int,
) -> list[Paired]:
    """Return the difference of each pair of systems, tested as one family.

    Args:
        ranks: by system, the target's 0-based rank per sample, shape (N,).
        users_N: the user of each sample.
        pairs: system, what it is compared with, and why.
        draws: number of bootstrap resamples.
        confidence: coverage of an interval, and 1 minus the chance of any false difference in the table.
        seed: equal seeds give equal tables.

    Raises:
        ValueError: as `paired_differences`.
    """
    if not pairs:
        return []
    score = METRICS[MAIN_METRIC]
    deltas_NP = np.stack([score(ranks[one]) - score(ranks[other]) for one, other, _ in pairs], axis=1)
    found = paired_differences(deltas_NP, users_N, draws=draws, confidence=confidence, seed=seed)
    corrected = holm([one.p_value for one in found])
    return [
        Paired(*pair, one.mean, one.low, one.high, one.p_value, p_holm, differs=p_holm < 1 - confidence)
        for pair, one, p_holm in zip(pairs, found, corrected, strict=True)
    ]


def best_system(ranks: Mapping[str, NDArray[np.int64]]) -> str:
    """Return the system with the highest NDCG@10 on the very samples that are reported: the hardest bar."""
    score = METRICS[MAIN_METRIC]
    return max(ranks, key=lambda name: float(score(ranks[name]).mean()))


def against_bars(systems: Sequence[str], best: str, references: Sequence[str]) -> list[tuple[str, str, Role]]:
    """Return each system with the best one and with each reference: no pair twice, none with itself."""
    bars: list[tuple[str, Role]] = [
        (best, "best baseline"),
        *((name, "reference") for name in references if name != best),
    ]
    return [(system, bar, role) for bar, role in bars for system in systems if system != bar]
