"""`sft_checkpoint`: supervised fine-tuning on expert episodes, loss on the assistant's tokens only.

TRL's SFTTrainer does it. It gets token ids and labels: a table of messages would give every call the arguments of all
tools, empty where they are absent, and the policy would learn to write them.
"""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import polars as pl
import torch

from recops import interrupt
from recops.agent.local_policy import LocalPolicy
from recops.agent.prompts import tool_schemas
from recops.config.agent import AgentConfig
from recops.config.policy import SftConfig
from recops.errors import InputError
from recops.progress import progress
from recops.ranks import share
from recops.seeds import sub_seed
from recops.stage_io import StageIO
from recops.train.callbacks import connect, record_arguments, resume_path, write_curve
from recops.train.conversations import IGNORED, encode_conversations, padded, supervised_losses
from recops.train.models import (
    autocast_of,
    device_arguments,
    load_trainable,
    make_trainable,
    micro_batches,
    num_trainable,
    round_to_stored,
    save_policy,
    trainable_digest,
)

_HELD_OUT_FRACTION = 0.1
_MAX_HELD_OUT = 128
_LOSS_BATCH = 32

Row = tuple[list[int], list[int]]


@dataclass(frozen=True)
class SftReport:
    """Numbers of an SFT run; losses are nats per supervised token, on episodes that are not trained on."""

    steps: int
    episodes: int
    held_out_episodes: int
    supervised_tokens: int
    longest_episode_tokens: int
    trainable_parameters: int
    held_out_loss_before: float
    held_out_loss_after: float


def run_sft(io: StageIO, config: SftConfig, *, seed: int, agent: AgentConfig) -> SftReport:
    """Fine-tune the base policy on expert episodes; write `sft_checkpoint`.

    Raises:
        InputError: there are fewer than two episodes, one is longer than the model reads, or an input is damaged.
        FloatingPointError: the loss or the weights are not finite.
        RuntimeError: nothing was trained.
    """
    policy = LocalPolicy(*load_trainable(io.input("base_policy")))
    rows = read_rows(io.input("expert_episodes") / "episodes.parquet", policy.tokenizer, agent, seed)
    _check_length(rows, policy.model.config.max_position_embeddings)
    num_held_out = min(_MAX_HELD_OUT, max(1, int(len(rows) * _HELD_OUT_FRACTION)))
    held_out, trained = rows[:num_held_out], rows[num_held_out:]
    before = held_out_loss(policy.model, policy.tokenizer, held_out)
    model = make_trainable(policy.model, config.lora, sub_seed(seed, io.stage, "lora"))
    trainable, digest = num_trainable(model), trainable_digest(model)
    trainer = _trained(io, config, model, policy.tokenizer, trained, seed=seed)
    if trainable_digest(model) == digest:
        raise RuntimeError(f"{io.stage}: no weight changed in {config.steps} steps")
    after = held_out_loss(round_to_stored(model), policy.tokenizer, held_out)
    save_policy(model, policy.tokenizer, io.out, max_new_tokens=agent.max_completion_tokens)
    write_curve(trainer.state.log_history, io.out)
    return SftReport(
        steps=config.steps,
        episodes=len(trained),
        held_out_episodes=len(held_out),
        supervised_tokens=sum(label != IGNORED for _, labels in trained for label in labels),
        longest_episode_tokens=max(len(ids) for ids, _ in rows),
        trainable_parameters=trainable,
        held_out_loss_before=before,
        held_out_loss_after=after,
    )


def read_rows(path: Path, tokenizer: Any, agent: AgentConfig, seed: int) -> list[Row]:
    """Return (token ids, labels) of every episode in a seeded order.

    Raises:
        InputError: there are fewer than two episodes.
    """
    episodes = pl.read_parquet(path, columns=["messages"])
    if len(episodes) < 2:
        step = "Let expert_episodes keep more: raise num_scripted or keep_target_in_top."
        raise InputError(path, found=f"{len(episodes)} episodes", expected="at least 2", next_step=step)
    shuffled = episodes["messages"].sample(fraction=1.0, shuffle=True, seed=sub_seed(seed, "sft", "order"))
    return encode_conversations(tokenizer, [json.loads(text) for text in shuffled], tool_schemas(agent))


def _check_length(rows: Sequence[Row], max_positions: int) -> None:
    longest = max(len(ids) for ids, _ in rows)
    if longest > max_positions:
        found = f"an episode of {longest} tokens, prompt included"
        step = "Lower agent.max_completion_tokens, history_length or the fields of items, or take a longer model."
        expected = f"at most {max_positions}, as many as the model reads"
        raise InputError("expert_episodes", found=found, expected=expected, next_step=step)


@torch.no_grad()
def held_out_loss(model: Any, tokenizer: Any, rows: Sequence[Row]) -> float:
    """Return the mean cross-entropy per supervised token, in nats."""
    model.eval()
    total, count = 0.0, 0
    for start in range(0, len(rows), _LOSS_BATCH):
        part = rows[start : start + _LOSS_BATCH]
        ids_BL = padded([ids for ids, _ in part], tokenizer.pad_token_id).to(model.device)
        labels_BL = padded([labels for _, labels in part], IGNORED).to(model.device)
        tokens = int((labels_BL[:, 1:] != IGNORED).sum())
        with autocast_of(model):
            total += float(model(input_ids=ids_BL, labels=labels_BL).loss) * tokens
        count += tokens
    return total / count


def _trained(io: StageIO, config: SftConfig, model: Any, tokenizer: Any, rows: Sequence[Row], *, seed: int) -> Any:
    """Train from the newest checkpoint on and return the trainer."""
    with progress(f"Training {io.stage}", config.steps) as meter, interrupt.deferred():
        trainer = build_trainer(model, tokenizer, rows, config, folder=io.checkpoints, seed=seed)
        connect(trainer, io, meter, shown=("loss",))
        trainer.train(resume_from_checkpoint=resume_path(io.checkpoints))
    interrupt.stop_if_requested()
    return trainer


def build_trainer(
    model: Any, tokenizer: Any, rows: Sequence[Row], config: SftConfig, *, folder: Path, seed: int
) -> Any:
    """Return TRL's trainer over tokenized rows; checkpoints go to `folder`."""
    from datasets import Dataset
    from trl.trainer.sft_config import SFTConfig as Arguments

    examples = share(config.batch_size, where="sft_checkpoint.batch_size")
    passes = micro_batches(model, examples)
    arguments = Arguments(
        output_dir=str(folder),
        max_steps=config.steps,
        per_device_train_batch_size=examples // passes,
        gradient_accumulation_steps=passes,
        learning_rate=config.learning_rate,
        lr_scheduler_type="cosine",
        warmup_steps=min(20, config.steps // 5),
        weight_decay=0.0,
        max_grad_norm=1.0,
        max_length=None,
        packing=False,
        seed=sub_seed(seed, "sft", "trainer"),
        data_seed=sub_seed(seed, "sft", "batches"),
        **record_arguments(config.checkpoint_steps),
        **device_arguments(model),
    )
    dataset = Dataset.from_dict({"input_ids": [ids for ids, _ in rows], "labels": [labels for _, labels in rows]})
    return _trainer_class()(model=model, args=arguments, train_dataset=dataset, processing_class=tokenizer)


def _trainer_class() -> Any:
    """Return the trainer's class; TRL takes ten seconds to import, so nothing here does before it is needed."""
    from trl.trainer.sft_trainer import SFTTrainer

    trl_loss: Any = SFTTrainer.compute_loss

    class SupervisedTokensTrainer(SFTTrainer):
        """SFTTrainer that gives no logits to tokens without a label on a CPU, as TRL itself does on a GPU."""

        def compute_loss(
            self, model: Any, inputs: dict[str, Any], return_outputs: bool = False, num_items_in_batch: Any = None
        ) -> Any:
            if return_outputs or self.accelerator.num_processes > 1 or self.accelerator.device.type != "cpu":
                return trl_loss(self, model, inputs, return_outputs, num_items_in_batch)
            policy = model.get_base_model() if hasattr(model, "get_base_model") else model
            # Only the model's own `forward` is under autocast by itself, and it is passed by here.
            with self.accelerator.autocast():
                losses_T = supervised_losses(policy, inputs["input_ids"], inputs["labels"])
            return losses_T.sum() / (len(losses_T) if num_items_in_batch is None else num_items_in_batch)

    return SupervisedTokensTrainer
