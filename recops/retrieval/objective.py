"""The loss of a recipe over the states of a batch: which items are scored against a target, and in what precision.

Items outside the fitted data are never scored. Shape suffixes: T predicted positions, N known items, D width, K
negatives of a position.
"""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.functional import embedding

from recops.config.sasrec_embeddings import (
    BinaryCrossEntropy,
    CrossEntropy,
    GeneralisedBinaryCrossEntropy,
    SampledSoftmax,
    SasrecConfig,
)
from recops.errors import InputError
from recops.retrieval.catalogue_loss import cross_entropy_over
from recops.retrieval.loss import (
    binary_cross_entropy,
    calibrated_beta,
    generalised_binary_cross_entropy,
    sampled_softmax,
)
from recops.retrieval.sasrec import SasRec, places_of

Objective = Callable[[Tensor, Tensor], Tensor]
"""states (T, D), targets (T,) -> mean loss, a scalar. Negatives come from torch's own generator."""


def make_objective(config: SasrecConfig, model: SasRec) -> Objective:
    """Return the loss of the recipe for a model whose `known_items` are set.

    Raises:
        InputError: there are not more known items than negatives.
    """
    known_N, place_I = places_of(model.known_items)
    match config.loss:
        case CrossEntropy(precision=precision):
            return _over_catalogue(model, known_N, place_I, getattr(torch, precision))
        case SampledSoftmax(num_negatives=number):
            _check_negatives(number, len(known_N))
            return _with_shared_negatives(model, known_N, number)
        case BinaryCrossEntropy(num_negatives=number):
            _check_negatives(number, len(known_N))
            return _with_own_negatives(model, known_N, place_I, number, binary_cross_entropy)
        case GeneralisedBinaryCrossEntropy(num_negatives=number, calibration=calibration):
            _check_negatives(number, len(known_N))
            beta = calibrated_beta(number, len(known_N), calibration)
            return _with_own_negatives(
                model,
                known_N,
                place_I,
                number,
                lambda positives_T, negatives_TK: generalised_binary_cross_entropy(
                    positives_T, negatives_TK, beta=beta
                ),
            )


def _over_catalogue(model: SasRec, known_N: Tensor, place_I: Tensor, dtype: torch.dtype) -> Objective:
    def loss(states_TD: Tensor, targets_T: Tensor) -> Tensor:
        return cross_entropy_over(states_TD, model.item_embedding.weight[known_N], place_I[targets_T], dtype)

    return loss


def _with_shared_negatives(model: SasRec, known_N: Tensor, num_negatives: int) -> Objective:
    """Negatives for the whole batch: one product scores them. One that is a position's target does not count there."""

    def loss(states_TD: Tensor, targets_T: Tensor) -> Tensor:
        drawn_K = known_N[torch.randint(len(known_N), (num_negatives,), device=known_N.device)]
        negatives_TK = states_TD @ _rows(model, drawn_K).T
        hits_TK = targets_T[:, None] == drawn_K
        positives_T = (states_TD * _rows(model, targets_T)).sum(dim=1)
        return sampled_softmax(positives_T, negatives_TK.masked_fill(hits_TK, -torch.inf), len(known_N))

    return loss


def _with_own_negatives(
    model: SasRec,
    known_N: Tensor,
    place_I: Tensor,
    num_negatives: int,
    binary_loss: Callable[[Tensor, Tensor], Tensor],
) -> Objective:
    """Negatives drawn for each position from the known items other than its target."""

    def loss(states_TD: Tensor, targets_T: Tensor) -> Tensor:
        shape = (len(targets_T), num_negatives)
        drawn_TK = torch.randint(len(known_N) - 1, shape, device=known_N.device)
        drawn_TK += drawn_TK >= place_I[targets_T][:, None]
        negatives_TK = torch.einsum("td,tkd->tk", states_TD, _rows(model, known_N[drawn_TK]))
        positives_T = (states_TD * _rows(model, targets_T)).sum(dim=1)
        return binary_loss(positives_T, negatives_TK)

    return loss


def _rows(model: SasRec, items: Tensor) -> Tensor:
    """Return the embeddings of some items; with `sparse`, only these rows have a gradient."""
    return embedding(items, model.item_embedding.weight, sparse=model.item_embedding.sparse)


def _check_negatives(num_negatives: int, num_known_items: int) -> None:
    if num_negatives >= num_known_items:
        found = f"{num_negatives} negatives for {num_known_items} items of tool_fit"
        step = "Lower it, or set loss.kind to cross_entropy."
        raise InputError(
            "sasrec_embeddings.loss.num_negatives", found=found, expected="fewer negatives than items", next_step=step
        )
