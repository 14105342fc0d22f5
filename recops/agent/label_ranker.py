"""Ranks candidates by the next-token distribution over their labels: one pass, a whole order, no invalid answer."""

from collections.abc import Sequence
from pathlib import Path

import polars as pl
import torch

from recops.agent.behaviour import FILE as PROJECTOR
from recops.agent.behaviour import BehaviourProjector
from recops.agent.label_model import LabelModel, collate
from recops.agent.label_prompts import LabelPrompts
from recops.agent.local_policy import LocalPolicy
from recops.artifacts import read_json, write_json
from recops.config.agent import AgentConfig, CatalogueField
from recops.progress import progress
from recops.records import Sample
from recops.retrieval.sasrec import SasRec
from recops.tools.item_text import ItemText
from recops.tools.sanitize import Sanitizer

SETTINGS = "ranker.json"
MAX_TOKENS_PER_PASS = 16_384


class LabelRanker:
    """A trained LLM baseline; hybrid prompts where it has a projector."""

    def __init__(self, model: LabelModel, prompts: LabelPrompts, pad_id: int) -> None:
        self._model, self._prompts, self._pad_id = model.eval(), prompts, pad_id

    @classmethod
    def load(cls, folder: Path, items: pl.DataFrame, sasrec: SasRec, agent: AgentConfig) -> "LabelRanker":
        """Open the folder of a baseline that `save_ranker_settings` completed.

        Args:
            folder: a policy's folder, with a projector in it for hybrid prompts.
            items: the catalogue, row i is item i + 1.
            sasrec: the model whose embeddings a projector was trained with.
            agent: how long titles and histories are.

        Raises:
            InputError: the folder is no policy, or its projector belongs to other embeddings.
        """
        policy = LocalPolicy.load(folder)
        projector = BehaviourProjector.load(folder, sasrec) if (folder / PROJECTOR).is_file() else None
        fields: list[CatalogueField] = read_json(folder / SETTINGS)["item_fields"]
        prompts = label_prompts(policy, items, fields, agent)
        model = LabelModel(policy.model, projector).to(policy.model.device)
        return cls(model, prompts, policy.tokenizer.pad_token_id)

    @torch.inference_mode()
    def rank(self, samples: Sequence[Sample]) -> list[tuple[int, ...]]:
        """Return the candidates of each sample, likeliest first.

        Raises:
            FloatingPointError: a logit is not finite.
        """
        hybrid = self._model.projector is not None
        prompts = [
            self._prompts.prompt([event.item for event in sample.history], sample.candidates, hybrid=hybrid)
            for sample in samples
        ]
        device = next(self._model.parameters()).device
        orders: dict[int, tuple[int, ...]] = {}
        with progress("Ranking", len(samples)) as meter:
            for part in _batches([len(prompt.ids) for prompt in prompts]):
                batch = collate([prompts[place] for place in part], self._pad_id)
                logits_BV = self._model(**{name: tensor.to(device) for name, tensor in batch.items()}).cpu()
                orders |= {place: self._order(samples[place], row) for place, row in zip(part, logits_BV, strict=True)}
                meter.advance(len(part))
        return [orders[place] for place in range(len(samples))]

    def _order(self, sample: Sample, logits_V: torch.Tensor) -> tuple[int, ...]:
        labels = [self._prompts.label_token(place) for place in range(len(sample.candidates))]
        scores = logits_V[labels]
        if not bool(torch.isfinite(scores).all()):
            raise FloatingPointError(f"sample {sample.sample_id}: a label's logit is not finite")
        return tuple(sample.candidates[int(place)] for place in scores.argsort(descending=True, stable=True))


def label_prompts(
    policy: LocalPolicy, items: pl.DataFrame, fields: Sequence[CatalogueField], agent: AgentConfig
) -> LabelPrompts:
    """Return the prompts of a policy over a catalogue; its control tokens are disarmed in what items are called."""
    sanitizer = Sanitizer(agent.max_title_characters, policy.control_tokens)
    text = ItemText(items, sanitizer)
    return LabelPrompts(policy.tokenizer, text, item_fields=fields, agent=agent)


def save_ranker_settings(folder: Path, fields: Sequence[CatalogueField]) -> None:
    """Write beside a policy what its prompts show of an item."""
    write_json(folder / SETTINGS, {"item_fields": list(fields)})


def _batches(lengths: Sequence[int]) -> list[list[int]]:
    """Part places into passes of prompts of like length, longest first."""
    parts: list[list[int]] = []
    for place in sorted(range(len(lengths)), key=lambda place: -lengths[place]):
        if parts and (len(parts[-1]) + 1) * lengths[parts[-1][0]] <= MAX_TOKENS_PER_PASS:
            parts[-1].append(place)
        else:
            parts.append([place])
    return parts
