"""The curve of a SASRec fit, and what it decides: when to stop looking for the number of epochs, and that number."""

from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from recops.config.sasrec_embeddings import SasrecConfig

Phase = Literal["select", "refit"]


@dataclass
class Curve:
    """What the fit has done so far: all that a resume needs beside weights and optimizer state."""

    phase: Phase = "select"
    select_loss: list[float] = field(default_factory=list)
    select_ndcg: list[float] = field(default_factory=list)
    refit_loss: list[float] = field(default_factory=list)

    @property
    def best_epoch(self) -> int:
        """Epoch, from 1, with the highest held-out NDCG@10; the first of equal ones; 0 before there is one."""
        return int(np.argmax(self.select_ndcg)) + 1 if self.select_ndcg else 0

    @property
    def num_epochs(self) -> int:
        """Epochs of both phases."""
        return len(self.select_loss) + len(self.refit_loss)

    def selected(self, config: SasrecConfig) -> bool:
        """Return whether early stopping has decided."""
        done = len(self.select_ndcg)
        return done >= config.max_epochs or done - self.best_epoch >= config.patience_epochs

    def refitted(self) -> bool:
        """Return whether the refit has run as many epochs as were best."""
        return len(self.refit_loss) >= self.best_epoch
