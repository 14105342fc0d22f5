"""What the trainings of LLM baselines share: the base policy, samples of `policy_train`, prompts, saving."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch.utils.data import Dataset

from recops.agent.label_model import LabelModel
from recops.agent.label_prompts import LabelPrompts
from recops.agent.label_ranker import LabelRanker, label_prompts, save_ranker_settings
from recops.agent.local_policy import LocalPolicy
from recops.config.agent import AgentConfig
from recops.config.llm_baselines import LlmBaselinesConfig
from recops.data.samples import SampleStore
from recops.metrics import ndcg_at_k, rank_of
from recops.records import Sample
from recops.retrieval.sasrec import SasRec
from recops.seeds import sub_seed
from recops.stage_io import StageIO
from recops.train.label_trainer import Collator, Loss, train_labels
from recops.train.models import load_trainable, make_trainable, save_policy

_MAX_VALID = 500


@dataclass(frozen=True)
class BaselineRun:
    """What every baseline of one execution is trained with and from."""

    io: StageIO
    config: LlmBaselinesConfig
    agent: AgentConfig
    store: SampleStore
    sasrec: SasRec
    samples: Sequence[Sample]
    seed: int

    def open_base(self) -> LocalPolicy:
        """Open the base policy anew: each baseline starts from it."""
        model, tokenizer = load_trainable(self.io.input("base_policy"))
        return LocalPolicy(model.to("cuda" if torch.cuda.is_available() else "cpu"), tokenizer)

    def adapted(self, model: Any, name: str) -> Any:
        """Return a language model ready to be trained, with fresh adapters where the recipe asks for them."""
        return make_trainable(model, self.config.lora, sub_seed(self.seed, name, "lora"))

    def prompts(self, policy: LocalPolicy) -> LabelPrompts:
        """Return the prompts of a policy over the catalogue."""
        return label_prompts(policy, self.store.items, self.config.item_fields, self.agent)

    def train(
        self,
        name: str,
        model: LabelModel,
        lesson: Dataset[Any],
        collator: Collator,
        loss: Loss,
        *,
        steps: int,
        learning_rate: float,
    ) -> list[dict[str, float]]:
        """Train one part of a baseline, from its newest checkpoint on; return the numbers of every step."""
        return train_labels(
            self.io,
            name,
            model,
            lesson,
            collator,
            loss,
            steps=steps,
            batch_size=self.config.batch_size,
            learning_rate=learning_rate,
            checkpoint_steps=self.config.checkpoint_steps,
            seed=sub_seed(self.seed, name),
        )

    def save(self, name: str, model: LabelModel, tokenizer: Any) -> Path:
        """Write a baseline as a policy's folder, with its projector; consumes the model."""
        folder = self.io.out / name
        folder.mkdir()
        if model.projector is not None:
            model.projector.save(folder)
        save_policy(model.language_model, tokenizer, folder, max_new_tokens=self.agent.max_completion_tokens)
        save_ranker_settings(folder, self.config.item_fields)
        return folder

    def valid_ndcg(self, folder: Path) -> float:
        """Return NDCG@10 of a saved baseline on samples of `valid`: what a person chooses settings by."""
        ids = self.store.sample_ids("valid")[:: max(1, len(self.store.sample_ids("valid")) // _MAX_VALID)]
        samples = [self.store.sample(int(sample_id)) for sample_id in ids]
        if not samples:
            return 0.0
        rankings = LabelRanker.load(folder, self.store.items, self.sasrec, self.agent).rank(samples)
        ranks = [rank_of(sample.target, ranking) for sample, ranking in zip(samples, rankings, strict=True)]
        return float(ndcg_at_k(ranks, 10).mean())


def losses(curve: Sequence[Mapping[str, float]], name: str) -> list[float]:
    """Return the loss of every step that a curve of `train` holds for it."""
    return [entry[f"{name}/loss"] for entry in curve if f"{name}/loss" in entry]
