"""What an LLM baseline is taught at each place of its training: a prompt, the target's label, labels of negatives.

Everything of an example follows from its number, so that a resumed training meets the same examples. Shape suffixes:
B examples, N negatives.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch.utils.data import Dataset

from recops.agent.label_model import collate
from recops.agent.label_prompts import LabelPrompt, LabelPrompts
from recops.records import Sample
from recops.seeds import sub_seed


@dataclass(frozen=True, slots=True)
class LabelExample:
    """One prompt with the label tokens of the target and of candidates that were not taken."""

    prompt: LabelPrompt
    chosen: int
    rejected: tuple[int, ...]


class LabelLesson(Dataset[LabelExample]):
    """Examples in the order of training: all samples once in a seeded order, then all again.

    Candidates are shuffled anew each time, so that a label says nothing about an item.
    """

    def __init__(
        self,
        samples: Sequence[Sample],
        prompts: LabelPrompts,
        *,
        num_examples: int,
        num_negatives: int,
        hybrid_share: Callable[[int], float],
        seed: int,
    ) -> None:
        """Take `hybrid_share`: number of an example -> probability that its prompt is hybrid."""
        self._samples, self._prompts = samples, prompts
        self._num_examples, self._num_negatives = num_examples, num_negatives
        self._hybrid_share, self._seed = hybrid_share, seed
        rounds = -(-num_examples // len(samples))
        orders = [
            np.random.default_rng(sub_seed(seed, "round", number)).permutation(len(samples)) for number in range(rounds)
        ]
        self._places = np.concatenate(orders)[:num_examples]

    def __len__(self) -> int:
        return self._num_examples

    def __getitem__(self, number: int) -> LabelExample:
        sample = self._samples[int(self._places[number])]
        generator = np.random.default_rng(sub_seed(self._seed, "example", number))
        candidates = [sample.candidates[int(place)] for place in generator.permutation(len(sample.candidates))]
        target = candidates.index(sample.target)
        others = [place for place in range(len(candidates)) if place != target]
        drawn = generator.choice(others, size=self._num_negatives, replace=False) if self._num_negatives else ()
        history = [event.item for event in sample.history]
        hybrid = bool(generator.random() < self._hybrid_share(number))
        return LabelExample(
            self._prompts.prompt(history, candidates, hybrid=hybrid),
            self._prompts.label_token(target),
            tuple(self._prompts.label_token(int(place)) for place in drawn),
        )


def text_only(_number: int) -> float:
    """Every prompt is text."""
    return 0.0


def curriculum(batch_size: int, steps: int) -> Callable[[int], float]:
    """Return LLaRA's schedule: at a 0-based step of so many the share of hybrid prompts is step / (steps - 1).

    The first step is all text and the last all hybrid; a single step is hybrid.
    """

    def share(number: int) -> float:
        return (number // batch_size) / (steps - 1) if steps > 1 else 1.0

    return share


def collate_examples(examples: Sequence[LabelExample], pad_id: int) -> dict[str, Tensor]:
    """Return examples as tensors: a prompt's, `chosen_B` and `rejected_BN`, all int64."""
    batch: dict[str, Any] = collate([example.prompt for example in examples], pad_id)
    batch["chosen_B"] = torch.tensor([example.chosen for example in examples])
    batch["rejected_BN"] = torch.tensor([example.rejected for example in examples], dtype=torch.long)
    return batch
