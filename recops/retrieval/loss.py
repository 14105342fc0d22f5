"""Losses of next-item prediction, as functions of logits.

Shape suffixes: T predicted positions, I+1 items with padding, K sampled negatives of a position. Drawing negatives is
`objective`'s; here a negative of -inf is one that does not count.
"""

import math

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy, logsigmoid


def catalogue_cross_entropy(logits_TI: Tensor, targets_T: Tensor, known_items_I: Tensor) -> Tensor:
    """Return the mean of -log softmax(logits)[target] over the known items, a scalar.

    Padding and items outside the fitted data are no alternatives: as pure negatives they would only be pushed away.

    Args:
        logits_TI: one score per item and predicted position.
        targets_T: the item taken next; every one known.
        known_items_I: true for the items of the softmax; padding is false.

    Raises:
        ValueError: there is no target, or a target is not known.
    """
    check_targets(targets_T, known_items_I)
    return cross_entropy(logits_TI.masked_fill(~known_items_I, -torch.inf), targets_T)


def sampled_softmax(positives_T: Tensor, negatives_TK: Tensor, num_items: int) -> Tensor:
    """Return the mean cross-entropy over the target and K uniform negatives, each standing for (I - 1) / K items.

    The weight is the correction for the draw's probability (Bengio and Senecal 2008): with it the loss estimates
    the one over all `num_items`, and equals it where the negatives are all of the other items.
    """
    weight = math.log((num_items - 1) / negatives_TK.shape[1])
    logits_TK1 = torch.cat([positives_T[:, None], negatives_TK + weight], dim=1)
    return (logits_TK1.logsumexp(dim=1) - positives_T).mean()


def binary_cross_entropy(positives_T: Tensor, negatives_TK: Tensor) -> Tensor:
    """Return the mean binary cross-entropy of the target as 1 and the negatives as 0 (Kang and McAuley 2018)."""
    return generalised_binary_cross_entropy(positives_T, negatives_TK, beta=1.0)


def generalised_binary_cross_entropy(positives_T: Tensor, negatives_TK: Tensor, *, beta: float) -> Tensor:
    """Return gBCE, the mean of -(log sigmoid(p)^beta + sum log(1 - sigmoid(n))) / (K + 1).

    Petrov and Macdonald 2023 (gSASRec, arXiv 2308.07192). A beta below 1 undoes the overconfidence that comes from
    leaving out most negatives.
    """
    losses_T = -beta * logsigmoid(positives_T) - logsigmoid(-negatives_TK).sum(dim=1)
    return (losses_T / (1 + negatives_TK.shape[1])).mean()


def calibrated_beta(num_negatives: int, num_items: int, calibration: float) -> float:
    """Return gBCE's beta, alpha (t (1 - 1 / alpha) + 1 / alpha), alpha the share of the negatives that is drawn.

    Args:
        num_negatives: K, at least 1 and below `num_items`.
        num_items: size of the catalogue.
        calibration: t in [0, 1]; 0 gives 1, which is plain binary cross-entropy, and 1 gives alpha, which makes
            sigmoid(score) a probability.
    """
    alpha = num_negatives / (num_items - 1)
    return alpha * (calibration * (1 - 1 / alpha) + 1 / alpha)


def check_targets(targets_T: Tensor, known_items_I: Tensor) -> None:
    """Check that there are targets, and that each is known.

    Raises:
        ValueError: one is not, or there is none.
    """
    if not len(targets_T):
        raise ValueError("targets: found none; expected at least one")
    if not bool(known_items_I[targets_T].all()):
        unknown = targets_T[~known_items_I[targets_T]][0].item()
        raise ValueError(f"targets: found item {unknown}, which is not known; expected items of the fitted data")
