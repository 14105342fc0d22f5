"""One pass of SASRec over its training sequences.

Shape suffixes: B sequences in a batch, L positions, D width, T predicted positions.
"""

import time
from typing import cast

import numpy as np
import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from recops.config.sasrec_embeddings import CrossEntropy, SasrecConfig
from recops.errors import InputError
from recops.progress import progress
from recops.retrieval.batches import pad_left, shuffled_batches, training_prefixes, training_windows
from recops.retrieval.fit_data import FitRows
from recops.retrieval.objective import make_objective
from recops.retrieval.optimizers import make_optimizers, running_mean, set_learning_rate
from recops.retrieval.sasrec import PADDING, SasRec
from recops.seeds import sub_seed


class Training:
    """A model, its optimizers and the sequences that it is fitted on, on the GPU if there is one.

    Everything random in an epoch is drawn from a seed of its own, so that no generator's state needs to be saved: an
    epoch after a resume equals the same epoch without one.

    Attributes:
        parts: all that a checkpoint must hold, by name.
    """

    def __init__(self, rows: FitRows, config: SasrecConfig, seed: int) -> None:
        self._config, self._seed = config, sub_seed(seed, "sasrec")
        self._each_position = config.training_sequences == "windows"
        cut = training_windows if self._each_position else training_prefixes
        self._sequences = cut(rows.items, rows.users, config.max_length)
        self._device = torch.device("cuda" if torch.cuda.is_available() else "cpu")
        torch.manual_seed(sub_seed(self._seed, "weights"))
        sizes = config.model_dump(include={"width", "num_layers", "num_heads", "max_length", "dropout"})
        self._model = SasRec(rows.num_items, **sizes)
        self._model.known_items.copy_(torch.from_numpy(rows.known_items()))
        self._model.item_embedding.sparse = not isinstance(config.loss, CrossEntropy)
        self._model.to(device=self._device)
        self._objective = make_objective(config, self._model)
        self._optimizers = make_optimizers(self._model, config)
        self._mean = running_mean(self._model, config.average_decay) if config.average_decay else None
        self.parts: dict[str, nn.Module | Optimizer] = {"model": self._model, **self._optimizers}
        if self._mean:
            self.parts["mean"] = self._mean

    @property
    def model(self) -> SasRec:
        """The model to use: the running mean of the weights if there is one."""
        return cast(SasRec, self._mean.module) if self._mean else self._model

    def run_epoch(self, epoch: int, description: str) -> float:
        """Take one pass over all sequences, epochs counted from 1, and return the mean loss per predicted item.

        Raises:
            InputError: the loss is not finite.
        """
        torch.manual_seed(sub_seed(self._seed, "dropout", epoch))
        generator = np.random.default_rng(sub_seed(self._seed, "batches", epoch))
        batches = shuffled_batches(self._sequences.lengths, self._config.batch_size, generator)
        self._model.train()
        total_loss, num_targets, started, num_sequences = 0.0, 0, time.monotonic(), 0
        with progress(f"{description}, epoch {epoch}", len(batches)) as meter:
            for number, rows_B in enumerate(batches):
                items_BL = torch.from_numpy(pad_left(self._sequences, rows_B)).to(self._device)
                loss, count = self._step(items_BL, (epoch - 1) * len(batches) + number)
                _check_finite(loss, epoch)
                total_loss, num_targets, num_sequences = (
                    total_loss + loss * count,
                    num_targets + count,
                    num_sequences + len(rows_B),
                )
                speed = num_sequences / (time.monotonic() - started)
                meter.advance(loss=total_loss / num_targets, sequences_per_second=speed)
        return total_loss / num_targets

    def _step(self, items_BL: Tensor, step: int) -> tuple[float, int]:
        """Fit one batch."""
        states_TD, targets_T = self._predictions(items_BL)
        loss = self._objective(states_TD, targets_T)
        self._model.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        for optimizer in self._optimizers.values():
            set_learning_rate(optimizer, self._config, step)
            optimizer.step()
        if self._mean:
            self._mean.update_parameters(self._model)
        return loss.item(), len(targets_T)

    def _predictions(self, items_BL: Tensor) -> tuple[Tensor, Tensor]:
        """Return states and what follows them: at every position of a window, at the last of a prefix."""
        inputs_BL, targets_BL = items_BL[:, :-1], items_BL[:, 1:]
        if not self._each_position:
            return self._model.last_state(inputs_BL), targets_BL[:, -1]
        real_BL = inputs_BL != PADDING
        return self._model(inputs_BL)[real_BL], targets_BL[real_BL]


def _check_finite(loss: float, epoch: int) -> None:
    if not np.isfinite(loss):
        step = "Lower sasrec_embeddings.learning_rate."
        raise InputError(f"SASRec, epoch {epoch}", found=f"loss {loss}", expected="a finite loss", next_step=step)
