"""The order of a resumed GRPO training is that of the one that was interrupted, in later epochs too."""

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch.utils.data import Sampler


class ResumedSampler(Sampler[int]):
    """TRL's `RepeatSampler`, which draws each epoch from one generator and knows nothing of those before a resume.

    Args:
        sampler: TRL's, as it was built.
        epochs_trained: how many whole epochs lie behind; asked once, when the first order is drawn.
    """

    def __init__(self, sampler: Any, epochs_trained: Callable[[], int]) -> None:
        self._sampler, self._epochs_trained, self._begun = sampler, epochs_trained, False

    def __iter__(self) -> Iterator[int]:
        """Draw the order of the next epoch."""
        for _ in range(0 if self._begun else self._epochs_trained()):
            torch.randperm(self._sampler.num_samples, generator=self._sampler.generator)
        self._begun = True
        yield from self._sampler

    def __len__(self) -> int:
        return len(self._sampler)
