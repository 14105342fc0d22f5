"""How a step changes the weights: Adam for each kind of gradient, a warm-up, and a running mean of the weights."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.optim import AdamW, Optimizer, SparseAdam
from torch.optim.swa_utils import AveragedModel

from recops.config.sasrec_embeddings import SasrecConfig
from recops.retrieval.sasrec import SasRec


def make_optimizers(model: SasRec, config: SasrecConfig) -> dict[str, Optimizer]:
    """Return the optimizers of a model, by name.

    With a sampled loss the item embeddings have an optimizer of their own, which touches only the rows of a batch: at a
    million items all the others would cost far more than the batch. Such rows do not decay.
    """
    items = model.item_embedding.weight
    dense = [parameter for parameter in model.parameters() if not (model.item_embedding.sparse and parameter is items)]
    optimizers: dict[str, Optimizer] = {
        "optimizer": AdamW(dense, lr=config.learning_rate, weight_decay=config.weight_decay, fused=True)
    }
    if model.item_embedding.sparse:
        optimizers["item_optimizer"] = SparseAdam([items], lr=config.learning_rate)
    return optimizers


def set_learning_rate(optimizer: Optimizer, config: SasrecConfig, step: int) -> None:
    """Set the rate of a step, from 0: it grows linearly over `warmup_steps`, then stays."""
    rate = config.learning_rate * min(1.0, (step + 1) / (config.warmup_steps + 1))
    for group in optimizer.param_groups:
        group["lr"] = rate


def running_mean(model: SasRec, decay: float) -> AveragedModel:
    """Return a running mean of the weights, equal to them now; early on it forgets faster, or it would start behind.

    Its `update_parameters` follows each step. The mean stands in for a learning rate that decays, which would need to
    know the number of epochs before early stopping has found it.
    """

    def update(means: Sequence[Tensor], weights: Sequence[Tensor], number: Tensor | int) -> None:
        early = (1.0 + float(number)) / (10.0 + float(number))
        torch._foreach_lerp_(list(means), list(weights), 1.0 - min(decay, early))

    return AveragedModel(model, multi_avg_fn=torch.no_grad()(update))
