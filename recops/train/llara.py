"""LLaRA (Liao and others 2024, arXiv 2312.02445): a language model that reads SASRec's item embeddings beside the text.

A projector maps each item's embedding to where the model expects a token's vector. Prompts go from text to hybrid over
the training, so that the task is learned from words before the new modality comes in.
"""

from dataclasses import dataclass
from functools import partial

import torch

from recops.agent.behaviour import BehaviourProjector
from recops.agent.label_model import LabelModel
from recops.config.llm_baselines import LlaraConfig
from recops.seeds import sub_seed
from recops.train.label_lesson import LabelLesson, collate_examples, curriculum
from recops.train.label_loss import label_loss
from recops.train.llm_baseline import BaselineRun, losses
from recops.train.models import num_trainable

LLARA = "llara"


@dataclass(frozen=True)
class LlaraReport:
    """Numbers of a LLaRA training; the loss is in nats per label, NDCG@10 on samples of `valid`."""

    steps: int
    supervised_tokens: int
    trainable_parameters: int
    projector_parameters: int
    loss_first: float
    loss_last: float
    valid_ndcg_at_10: float


def train_llara(run: BaselineRun, config: LlaraConfig) -> tuple[LlaraReport, list[dict[str, float]]]:
    """Train LLaRA from the base policy, write it, and return its report and curve."""
    policy = run.open_base()
    seed = sub_seed(run.seed, LLARA)
    projector = build_projector(run, policy.model, config, seed)
    model = LabelModel(run.adapted(policy.model, LLARA), projector.to(policy.model.device))
    trainable, width = num_trainable(model), num_trainable(projector)
    batch_size = run.config.batch_size
    lesson = LabelLesson(
        run.samples,
        run.prompts(policy),
        num_examples=config.steps * batch_size,
        num_negatives=0,
        hybrid_share=curriculum(batch_size, config.steps),
        seed=seed,
    )
    curve = run.train(
        LLARA,
        model,
        lesson,
        partial(collate_examples, pad_id=policy.tokenizer.pad_token_id),
        lambda logits_BV, batch: label_loss(logits_BV, batch["chosen_B"]),
        steps=config.steps,
        learning_rate=config.learning_rate,
    )
    folder = run.save(LLARA, model, policy.tokenizer)
    of_steps = losses(curve, LLARA)
    return LlaraReport(
        steps=config.steps,
        supervised_tokens=len(lesson),
        trainable_parameters=trainable,
        projector_parameters=width,
        loss_first=of_steps[0],
        loss_last=of_steps[-1],
        valid_ndcg_at_10=run.valid_ndcg(folder),
    ), curve


def build_projector(
    run: BaselineRun, language_model: torch.nn.Module, config: LlaraConfig, seed: int
) -> BehaviourProjector:
    """Return an untrained projector for a language model; equal seeds give equal weights."""
    tokens_VW = language_model.get_input_embeddings().weight.detach().float()  # type: ignore[operator]
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(sub_seed(seed, "projector"))
        return BehaviourProjector(
            run.sasrec,
            hidden_width=config.projector_width,
            width=tokens_VW.shape[1],
            token_rms=float(tokens_VW.square().mean().sqrt()),
        )
