"""Full cross-entropy over the catalogue.

Shape suffixes: T predicted positions, I+1 items with padding.
"""

import torch
from torch import Tensor
from torch.nn.functional import cross_entropy


def catalogue_cross_entropy(logits_TI: Tensor, targets_T: Tensor, known_items_I: Tensor) -> Tensor:
    """Return the mean of -log softmax(logits)[target] over the known items, a scalar.

    The catalogue has a few thousand items, so that no negatives need to be drawn: sampled losses make SASRec
    overconfident (Petrov and Macdonald 2023, arXiv 2308.07192). Padding and items outside the fitted data are no
    alternatives: as pure negatives they would only be pushed away.

    Args:
        logits_TI: one score per item and predicted position.
        targets_T: the item taken next; every one known.
        known_items_I: true for the items of the softmax; padding is false.

    Raises:
        ValueError: there is no target, or a target is not known.
    """
    if not len(targets_T):
        raise ValueError("targets: found none; expected at least one")
    if not bool(known_items_I[targets_T].all()):
        unknown = targets_T[~known_items_I[targets_T]][0].item()
        raise ValueError(f"targets: found item {unknown}, which is not known; expected items of the fitted data")
    return cross_entropy(logits_TI.masked_fill(~known_items_I, -torch.inf), targets_T)
