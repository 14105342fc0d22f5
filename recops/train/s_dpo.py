"""S-DPO (Chen and others 2024, arXiv 2406.09215): SFT on text prompts, then softmax preference over several negatives.

TRL's trainers compare a chosen answer with one rejected; here one forward pass gives the probabilities of all labels.
The reference is the SFT model. It never changes, and neither do the examples, so that its log-ratios are computed once.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset

from recops.agent.label_model import LabelModel
from recops.agent.local_policy import LocalPolicy
from recops.config.llm_baselines import SDpoConfig
from recops.progress import progress
from recops.seeds import sub_seed
from recops.train.label_lesson import LabelExample, LabelLesson, collate_examples, text_only
from recops.train.label_loss import label_log_probabilities, label_loss, s_dpo_loss
from recops.train.llm_baseline import BaselineRun, losses
from recops.train.models import MICRO_BATCH, autocast_of, micro_batches, num_trainable

S_DPO, SFT = "s_dpo", "s_dpo_sft"
Scored = tuple[LabelExample, Tensor]
"""An example, and the reference's log-probabilities of the target and of each negative, (1 + N,)."""


@dataclass(frozen=True)
class SDpoReport:
    """Numbers of both trainings; losses in nats per label (SFT) and per preference, NDCG@10 on samples of `valid`."""

    sft_steps: int
    steps: int
    supervised_tokens: int
    preferences: int
    trainable_parameters: int
    sft_loss_first: float
    sft_loss_last: float
    loss_first: float
    loss_last: float
    valid_ndcg_at_10: float


def train_s_dpo(run: BaselineRun, config: SDpoConfig) -> tuple[SDpoReport, list[dict[str, float]]]:
    """Train S-DPO from the base policy, write it, and return its report and curve."""
    policy = run.open_base()
    language_model, sft_curve, supervised = _fine_tuned(run, config, policy)
    reference = LabelModel(language_model, None)
    lesson = _lesson(run, policy, steps=config.steps, num_negatives=config.num_negatives, name=S_DPO)
    scored = ScoredLesson(lesson, reference, policy.tokenizer.pad_token_id)
    model = LabelModel(run.adapted(language_model, S_DPO), None)
    trainable = num_trainable(model)
    curve = run.train(
        S_DPO,
        model,
        scored,
        partial(collate_scored, pad_id=policy.tokenizer.pad_token_id),
        lambda logits_BV, batch: preference_loss(logits_BV, batch, config.beta),
        steps=config.steps,
        learning_rate=config.learning_rate,
    )
    folder = run.save(S_DPO, model, policy.tokenizer)
    sft_losses, own_losses = losses(sft_curve, SFT), losses(curve, S_DPO)
    return SDpoReport(
        sft_steps=config.sft_steps,
        steps=config.steps,
        supervised_tokens=supervised,
        preferences=len(lesson) * config.num_negatives,
        trainable_parameters=trainable,
        sft_loss_first=sft_losses[0],
        sft_loss_last=sft_losses[-1],
        loss_first=own_losses[0],
        loss_last=own_losses[-1],
        valid_ndcg_at_10=run.valid_ndcg(folder),
    ), [*sft_curve, *curve]


class ScoredLesson(Dataset[Scored]):
    """A lesson with what a frozen reference thinks of each example's labels."""

    def __init__(self, lesson: LabelLesson, reference: LabelModel, pad_id: int) -> None:
        self._lesson = lesson
        self._scores = reference_scores(lesson, reference, pad_id)

    def __len__(self) -> int:
        return len(self._lesson)

    def __getitem__(self, number: int) -> Scored:
        return self._lesson[number], self._scores[number]


@torch.no_grad()
def reference_scores(lesson: LabelLesson, reference: LabelModel, pad_id: int) -> list[Tensor]:
    """Return the reference's log-probabilities of the target and the negatives, (1 + N,) for each example."""
    reference.eval()
    device = next(reference.parameters()).device
    batch_size = MICRO_BATCH // micro_batches(reference, MICRO_BATCH)
    scores: list[Tensor] = []
    with progress("Scoring with the reference", len(lesson)) as meter:
        for start in range(0, len(lesson), batch_size):
            examples = [lesson[number] for number in range(start, min(start + batch_size, len(lesson)))]
            batch = {name: part.to(device) for name, part in collate_examples(examples, pad_id).items()}
            with autocast_of(reference.language_model):  # as the policy is trained: both agree before the first step
                logits_BV = reference(batch["ids_BL"], batch["items_BL"], batch["lengths_B"])
            scores += list(label_log_probabilities(logits_BV, compared_labels(batch)).cpu())
            meter.advance(len(examples))
    return scores


def compared_labels(batch: Mapping[str, Tensor]) -> Tensor:
    """Return the label tokens that a preference is about, the target's first, (B, 1 + N)."""
    return torch.cat([batch["chosen_B"][:, None], batch["rejected_BN"]], dim=1)


def collate_scored(rows: list[Scored], pad_id: int) -> dict[str, Tensor]:
    """Return scored examples as tensors; `reference_BM` holds the target's and the negatives' scores, M = 1 + N."""
    batch = collate_examples([example for example, _ in rows], pad_id)
    return {**batch, "reference_BM": torch.stack([scores for _, scores in rows])}


def preference_loss(logits_BV: Tensor, batch: Mapping[str, Tensor], beta: float) -> Tensor:
    """Return the S-DPO loss of a batch against its reference's scores."""
    ratios_BM = label_log_probabilities(logits_BV, compared_labels(batch)) - batch["reference_BM"]
    return s_dpo_loss(ratios_BM[:, 0], ratios_BM[:, 1:], beta)


def _fine_tuned(run: BaselineRun, config: SDpoConfig, policy: LocalPolicy) -> tuple[Any, list[dict[str, float]], int]:
    """Return the language model after SFT on text prompts, adapters merged, with its curve and its labels' number."""
    model = LabelModel(run.adapted(policy.model, SFT), None)
    lesson = _lesson(run, policy, steps=config.sft_steps, num_negatives=0, name=SFT)
    curve = run.train(
        SFT,
        model,
        lesson,
        partial(collate_examples, pad_id=policy.tokenizer.pad_token_id),
        lambda logits_BV, batch: label_loss(logits_BV, batch["chosen_B"]),
        steps=config.sft_steps,
        learning_rate=config.sft_learning_rate,
    )
    adapted = run.config.lora is not None
    return model.language_model.merge_and_unload() if adapted else model.language_model, curve, len(lesson)


def _lesson(run: BaselineRun, policy: LocalPolicy, *, steps: int, num_negatives: int, name: str) -> LabelLesson:
    return LabelLesson(
        run.samples,
        run.prompts(policy),
        num_examples=steps * run.config.batch_size,
        num_negatives=num_negatives,
        hybrid_share=text_only,
        seed=sub_seed(run.seed, name),
    )
