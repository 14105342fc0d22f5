"""Ways to merge the evidence without an agent, all learned on `policy_train`: what the agent has to beat.

Shape suffixes: N samples, K candidates, F features.
"""

from collections.abc import Sequence
from itertools import product

import numpy as np
from numpy.typing import NDArray

from recops.config.baselines import EvidenceName, LambdaMartConfig
from recops.evaluate.candidate_lists import CandidateLists
from recops.metrics import ndcg_at_k

Scores = NDArray[np.float64]
Features = NDArray[np.float32]

FUSED: tuple[EvidenceName, ...] = ("sasrec", "text_similarity", "recent_popularity")
RANK_CONSTANT = 10
"""Constant of reciprocal-rank fusion: 60 in the paper, for lists of a thousand; lists here have some twenty items."""
_WEIGHT_STEPS = 10
_LAMBDAMART = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 10,
    "feature_fraction": 0.8,
    "deterministic": True,
    "force_row_wise": True,
    "num_threads": 1,
    "verbosity": -1,
}


class Fusion:
    """Weighted reciprocal-rank fusion (Cormack, Clarke and Buettcher 2009) of three lists."""

    def __init__(self, train: CandidateLists) -> None:
        """Take the weights, in tenths that sum to 1, with the highest NDCG@10 on `train`; of equal ones the first."""
        tenths = range(_WEIGHT_STEPS + 1)
        shares = [weights for weights in product(tenths, repeat=len(FUSED)) if sum(weights) == _WEIGHT_STEPS]
        values = [self._ndcg(train, weights) for weights in shares]
        best = shares[int(np.argmax(values))]
        self.weights: dict[str, float] = {
            name: weight / _WEIGHT_STEPS for name, weight in zip(FUSED, best, strict=True)
        }

    def scores(self, lists: CandidateLists) -> Scores:
        """Return one score per candidate, shape (N, K)."""
        return _fused(lists, list(self.weights.values()))

    def _ndcg(self, lists: CandidateLists, weights: tuple[int, ...]) -> float:
        scores_NK = _fused(lists, weights)
        target_N1 = np.take_along_axis(scores_NK, lists.target_places[:, None], axis=1)
        ahead_N = (scores_NK > target_N1).sum(axis=1) + ((scores_NK == target_N1).sum(axis=1) - 1) // 2
        return float(ndcg_at_k(ahead_N, 10).mean())


class LambdaMart:
    """LightGBM's LambdaMART over what the agent's tools answer, and where asked over the scores behind the orders."""

    def __init__(self, train: CandidateLists, config: LambdaMartConfig, *, with_scores: bool, seed: int) -> None:
        import lightgbm

        self._with_scores = with_scores
        num_samples, num_candidates = train.items.shape
        labels_NK = np.zeros((num_samples, num_candidates), dtype=np.int32)
        labels_NK[np.arange(num_samples), train.target_places] = 1
        settings = {
            **_LAMBDAMART,
            "seed": seed,
            "learning_rate": config.learning_rate,
            "num_leaves": config.num_leaves,
            "min_data_in_leaf": config.min_candidates_per_leaf,
        }
        data = lightgbm.Dataset(self._features(train), labels_NK.ravel(), group=np.full(num_samples, num_candidates))
        self._model = lightgbm.train(settings, data, num_boost_round=config.num_trees)

    def scores(self, lists: CandidateLists) -> Scores:
        """Return one score per candidate, shape (N, K)."""
        scores: Scores = np.asarray(self._model.predict(self._features(lists), num_threads=1), dtype=np.float64)
        return scores.reshape(lists.items.shape)

    def _features(self, lists: CandidateLists) -> Features:
        """One row per candidate, shape (N * K, F)."""
        features_NKF = lists.answers.features
        if self._with_scores:
            behind = [lists.scores[name] for name in lists.answers.visible]
            features_NKF = np.concatenate([features_NKF, np.stack(behind, axis=2)], axis=2)
        return features_NKF.reshape(-1, features_NKF.shape[2]).astype(np.float32)


def _fused(lists: CandidateLists, weights: Sequence[float]) -> Scores:
    reciprocal = [weight / (RANK_CONSTANT + 1 + lists.ranks[name]) for name, weight in zip(FUSED, weights, strict=True)]
    fused: Scores = np.sum(reciprocal, axis=0)
    return fused
