"""One pass of SASRec over its training windows, and the full-catalogue NDCG@10 that stops it.

Shape suffixes: B windows in a batch, L positions, D width, T predicted positions, C held-out targets in a chunk, I+1
items with padding.
"""

import time

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from recops.config.sasrec_embeddings import SasrecConfig
from recops.errors import InputError
from recops.metrics import ABSENT, ndcg_at_k
from recops.progress import progress
from recops.retrieval.batches import flat_ranges, pad_left, shuffled_batches, training_windows
from recops.retrieval.fit_data import FitRows, HeldOut
from recops.retrieval.loss import catalogue_cross_entropy
from recops.retrieval.sasrec import PADDING, SasRec, encode_sequences
from recops.seeds import sub_seed

_TARGETS_PER_CHUNK = 1024


class Training:
    """A model, its optimizer and the windows that it is fitted on.

    Everything random in an epoch is drawn from a seed of its own, so that no generator's state needs to be saved: an
    epoch after a resume equals the same epoch without one.
    """

    def __init__(self, rows: FitRows, config: SasrecConfig, seed: int) -> None:
        self._seed, self._batch_size = sub_seed(seed, "sasrec"), config.batch_size
        self._windows = training_windows(rows.items, rows.users, config.max_length)
        torch.manual_seed(sub_seed(self._seed, "weights"))
        sizes = config.model_dump(include={"width", "num_layers", "num_heads", "max_length", "dropout"})
        self.model = SasRec(rows.num_items, **sizes)
        self.model.known_items.copy_(torch.from_numpy(rows.known_items()))
        self.optimizer = torch.optim.AdamW(
            self.model.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
        )

    def run_epoch(self, epoch: int, description: str) -> float:
        """Take one pass over all windows and return the mean loss per predicted item.

        Raises:
            InputError: the loss is not finite.
        """
        torch.manual_seed(sub_seed(self._seed, "dropout", epoch))
        generator = np.random.default_rng(sub_seed(self._seed, "batches", epoch))
        batches = shuffled_batches(self._windows.lengths, self._batch_size, generator)
        self.model.train()
        total_loss, num_targets, started, num_users = 0.0, 0, time.monotonic(), 0
        with progress(f"{description}, epoch {epoch}", len(batches)) as meter:
            for rows_B in batches:
                loss, count = self._step(torch.from_numpy(pad_left(self._windows, rows_B)))
                _check_finite(loss, epoch)
                total_loss, num_targets, num_users = (
                    total_loss + loss * count,
                    num_targets + count,
                    num_users + len(rows_B),
                )
                speed = num_users / (time.monotonic() - started)
                meter.advance(loss=total_loss / num_targets, users_per_second=speed)
        return total_loss / num_targets

    def _step(self, items_BL: Tensor) -> tuple[float, int]:
        """Fit one batch: each item of a window predicts the one after it."""
        inputs_BL, targets_BL = items_BL[:, :-1], items_BL[:, 1:]
        real_BL = inputs_BL != PADDING
        states_TD, targets_T = self.model(inputs_BL)[real_BL], targets_BL[real_BL]
        logits_TI = states_TD @ self.model.item_embedding.weight.T
        loss = catalogue_cross_entropy(logits_TI, targets_T, self.model.known_items)
        self.optimizer.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        self.optimizer.step()
        return loss.item(), len(targets_T)


def held_out_ndcg(model: SasRec, held_out: HeldOut, batch_size: int) -> float:
    """Return the mean NDCG@10 of the held-out targets among all known items that the user has not taken before."""
    return float(ndcg_at_k(held_out_ranks(model, held_out, batch_size), 10).mean())


def held_out_ranks(model: SasRec, held_out: HeldOut, batch_size: int) -> NDArray[np.int64]:
    """Return the 0-based rank of each held-out target; ties count against it.

    A target that the model does not know, that the user has taken before, or whose history has no known item is
    `ABSENT`: the model cannot rank it.
    """
    states = encode_sequences(model, held_out.histories, batch_size)
    chunks = range(0, len(states), _TARGETS_PER_CHUNK)
    return np.concatenate([_ranks(model, held_out, states, slice(i, i + _TARGETS_PER_CHUNK)) for i in chunks])


def _ranks(model: SasRec, held_out: HeldOut, states: NDArray[np.float32], chunk: slice) -> NDArray[np.int64]:
    scores_CI = states[chunk] @ model.item_embedding.weight.detach().numpy().T
    scores_CI[:, ~model.known_items.numpy()] = -np.inf
    places, owner = flat_ranges(held_out.seen.starts[chunk], held_out.seen.lengths[chunk])
    scores_CI[owner, held_out.seen.items[places]] = -np.inf
    target_C1 = np.take_along_axis(scores_CI, held_out.targets[chunk, None], axis=1)
    ranks_C = (scores_CI >= target_C1).sum(axis=1) - 1
    return np.where(np.isfinite(target_C1[:, 0]), ranks_C, ABSENT)


def _check_finite(loss: float, epoch: int) -> None:
    if not np.isfinite(loss):
        step = "Lower sasrec_embeddings.learning_rate."
        raise InputError(f"SASRec, epoch {epoch}", found=f"loss {loss}", expected="a finite loss", next_step=step)
