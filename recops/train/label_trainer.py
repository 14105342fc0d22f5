"""Training of LLM baselines: the `Trainer` of transformers over a lesson, with a loss on one token a prompt."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.utils.data import Dataset
from transformers import Trainer, TrainingArguments

from recops import interrupt
from recops.agent.label_model import LabelModel
from recops.progress import progress
from recops.stage_io import StageIO
from recops.train.callbacks import connect, finite_numbers, record_arguments, resume_path
from recops.train.models import device_arguments, micro_batches, num_trainable, trainable_digest

Loss = Callable[[Tensor, Mapping[str, Tensor]], Tensor]
"""Logits after each prompt (B, V) and the batch -> mean loss."""

Collator = Callable[..., dict[str, Tensor]]
"""Entries of a lesson -> a batch."""


class LabelTrainer(Trainer):
    """Feeds a lesson in its own order; the loss is a function of the logits after each prompt."""

    def __init__(self, loss: Loss, **settings: Any) -> None:
        super().__init__(**settings)
        self._loss = loss

    def compute_loss(self, model: Any, inputs: dict[str, Tensor], *_: Any, **__: Any) -> Tensor:
        """Return the loss of one batch."""
        return self._loss(model(inputs["ids_BL"], inputs["items_BL"], inputs["lengths_B"]), inputs)


def train_labels(
    io: StageIO,
    name: str,
    model: LabelModel,
    lesson: Dataset[Any],
    collator: Collator,
    loss: Loss,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    checkpoint_steps: int,
    seed: int,
) -> list[dict[str, float]]:
    """Train from the newest checkpoint of `name` on; return the numbers of every step, named `NAME/...`.

    Raises:
        FloatingPointError: the loss or the weights are not finite.
        RuntimeError: nothing is trainable, or nothing moved.
    """
    num_trainable(model)
    before = {part: trainable_digest(module) for part, module in _parts(model)}
    folder = io.checkpoints / name
    folder.mkdir(exist_ok=True)
    with progress(f"Training {name}", steps) as meter, interrupt.deferred():
        arguments = _arguments(
            folder,
            model,
            steps=steps,
            batch_size=batch_size,
            learning_rate=learning_rate,
            checkpoint_steps=checkpoint_steps,
            seed=seed,
        )
        trainer = LabelTrainer(loss, model=model, args=arguments, train_dataset=lesson, data_collator=collator)
        connect(trainer, io, meter, shown=("loss",), prefix=f"{name}/")
        trainer.train(resume_from_checkpoint=resume_path(folder))
    interrupt.stop_if_requested()
    still = [part for part, module in _parts(model) if trainable_digest(module) == before[part]]
    if still:
        raise RuntimeError(f"{io.stage}, {name}: no weight of the {' and the '.join(still)} changed in {steps} steps")
    return [
        {"step": entry["step"], **{f"{name}/{key}": value for key, value in finite_numbers(entry).items()}}
        for entry in trainer.state.log_history
    ]


def _parts(model: LabelModel) -> list[tuple[str, Any]]:
    parts = [("language model", model.language_model), ("projector", model.projector)]
    return [(name, module) for name, module in parts if module is not None]


def _arguments(
    folder: Path,
    model: LabelModel,
    *,
    steps: int,
    batch_size: int,
    learning_rate: float,
    checkpoint_steps: int,
    seed: int,
) -> TrainingArguments:
    passes = micro_batches(model, batch_size)
    return TrainingArguments(
        output_dir=str(folder),
        max_steps=steps,
        per_device_train_batch_size=batch_size // passes,
        gradient_accumulation_steps=passes,
        train_sampling_strategy="sequential",
        remove_unused_columns=False,
        learning_rate=learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(20, steps // 5),
        weight_decay=0.0,
        max_grad_norm=1.0,
        seed=seed,
        dataloader_pin_memory=torch.cuda.is_available(),
        **record_arguments(checkpoint_steps),
        **device_arguments(model.language_model),
    )
