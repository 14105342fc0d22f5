"""Two ways to merge the evidence lists without an agent, both learned on `policy_train`: what the agent has to beat.

Shape suffixes: N samples, S lists, K candidates, F features.
"""

from itertools import product

import numpy as np
from numpy.typing import NDArray

from recops.config.baselines import EvidenceName
from recops.evaluate.evidence_lists import SINGLE_LISTS, EvidenceLists
from recops.metrics import ndcg_at_k

Scores = NDArray[np.float64]

FUSED: tuple[EvidenceName, ...] = ("sasrec", "text_similarity", "recent_popularity")
RANK_CONSTANT = 10
"""Constant of reciprocal-rank fusion: 60 in the paper, for lists of a thousand; lists here have some twenty items."""
_WEIGHT_STEPS = 10
_LAMBDAMART = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 10,
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.8,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}
_NUM_TREES = 150


class Fusion:
    """Weighted reciprocal-rank fusion (Cormack, Clarke and Buettcher 2009) of three lists."""

    def __init__(self, train: EvidenceLists) -> None:
        """Take the weights, in tenths that sum to 1, with the highest NDCG@10 on `train`; of equal ones the first."""
        tenths = range(_WEIGHT_STEPS + 1)
        shares = [weights for weights in product(tenths, repeat=len(FUSED)) if sum(weights) == _WEIGHT_STEPS]
        values = [self._ndcg(train, weights) for weights in shares]
        best = shares[int(np.argmax(values))]
        self.weights: dict[str, float] = {
            name: weight / _WEIGHT_STEPS for name, weight in zip(FUSED, best, strict=True)
        }

    def scores(self, lists: EvidenceLists) -> Scores:
        """Return one score per candidate, shape (N, K)."""
        return _fused(lists, list(self.weights.values()))

    def _ndcg(self, lists: EvidenceLists, weights: tuple[int, ...]) -> float:
        scores_NK = _fused(lists, weights)
        target_N1 = np.take_along_axis(scores_NK, lists.target_places[:, None], axis=1)
        ahead_N = (scores_NK > target_N1).sum(axis=1) + ((scores_NK == target_N1).sum(axis=1) - 1) // 2
        return float(ndcg_at_k(ahead_N, 10).mean())


class LambdaMart:
    """LightGBM's LambdaMART over the ranks that the lists give, and over what they do not know."""

    def __init__(self, train: EvidenceLists, seed: int) -> None:
        import lightgbm

        num_samples, num_candidates = train.items.shape
        labels_NK = np.zeros((num_samples, num_candidates), dtype=np.int32)
        labels_NK[np.arange(num_samples), train.target_places] = 1
        data = lightgbm.Dataset(_features(train), labels_NK.ravel(), group=np.full(num_samples, num_candidates))
        self._model = lightgbm.train({**_LAMBDAMART, "seed": seed}, data, num_boost_round=_NUM_TREES)

    def scores(self, lists: EvidenceLists) -> Scores:
        """Return one score per candidate, shape (N, K)."""
        scores: Scores = np.asarray(self._model.predict(_features(lists), num_threads=1), dtype=np.float64)
        return scores.reshape(lists.items.shape)


def _fused(lists: EvidenceLists, weights: list[float] | tuple[int, ...]) -> Scores:
    reciprocal = [
        weight / (RANK_CONSTANT + 1 + lists.ranks_of(name)) for name, weight in zip(FUSED, weights, strict=True)
    ]
    fused: Scores = np.sum(reciprocal, axis=0)
    return fused


def _features(lists: EvidenceLists) -> NDArray[np.float32]:
    """Ranks, unknown flags, and how many candidates each list does not know, a row per candidate: (N * K, F)."""
    columns = [lists.names.index(name) for name in SINGLE_LISTS]
    ranks, unknown = lists.ranks[:, columns], lists.unknown[:, columns]
    num_unknown = np.broadcast_to(unknown.sum(axis=2, keepdims=True), unknown.shape)
    features_NFK = np.concatenate([ranks, unknown, num_unknown], axis=1)
    return np.moveaxis(features_NFK, 1, 2).reshape(-1, features_NFK.shape[1]).astype(np.float32)
