import json
import shutil
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest
import torch

from recops import interrupt
from recops.agent.local_policy import LocalPolicy
from recops.agent.prompts import tool_schemas
from recops.config.policy import LoraConfig
from recops.errors import InputError
from recops.tools.toolbox import Toolbox
from recops.train.conversations import encode_conversations
from recops.train.models import load_trainable
from recops.train.sft import build_trainer, held_out_loss, run_sft
from recops.train.synthetic import SyntheticEpisodes
from tests.recops.agent.world import AGENT, changed
from tests.recops.evaluate.small_pipeline import NUM_ITEMS
from tests.recops.train.small import LORA, RANDOM_LORA, SFT, StubIO, files, weights


def _conversations(toolbox: Toolbox, count: int) -> list[list[dict[str, Any]]]:
    """Episodes that ask one tool of the many that the policy knows: a habit to learn."""
    source = SyntheticEpisodes(toolbox.item_text, NUM_ITEMS, changed(tools=("rank_by_next_item",)))
    generator = np.random.default_rng(9)
    return [source.draw(generator, num_candidates=5, num_views=1, direction="rank", history=2) for _ in range(count)]


@pytest.fixture
def inputs(toolbox: Toolbox, policy_folder: Path, tmp_path: Path) -> dict[str, Path]:
    folder = tmp_path / "expert_episodes"
    folder.mkdir()
    messages = [json.dumps(conversation) for conversation in _conversations(toolbox, 24)]
    pl.DataFrame({"messages": messages}).write_parquet(folder / "episodes.parquet")
    return {"base_policy": policy_folder, "expert_episodes": folder}


def test_sft_lowers_the_loss_on_held_out_episodes_and_saves_a_policy(inputs: dict[str, Path], tmp_path: Path) -> None:
    io = StubIO(tmp_path, "sft_checkpoint", inputs)
    config = SFT.model_copy(update={"steps": 10, "checkpoint_steps": 10})
    report = run_sft(io, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert report.held_out_loss_after < report.held_out_loss_before
    assert report.supervised_tokens > 0
    assert LocalPolicy.load(io.out).tokenizer.chat_template
    curve = pl.read_parquet(io.out / "curve.parquet")
    assert curve.filter(pl.col("name") == "loss")["step"].to_list() == list(range(1, 11))
    assert not any("runtime" in name or "per_second" in name for name in curve["name"])


def test_adapters_can_be_trained_and_leave_the_rest_as_it_was(inputs: dict[str, Path], tmp_path: Path) -> None:
    io = StubIO(tmp_path, "sft_checkpoint", inputs)
    report = run_sft(io, SFT.model_copy(update={"lora": LORA}), seed=1, agent=AGENT)  # type: ignore[arg-type]
    base, tuned = load_trainable(inputs["base_policy"])[0], load_trainable(io.out)[0]
    assert report.trainable_parameters < sum(parameter.numel() for parameter in base.parameters())
    changed = {
        name
        for (name, one), (_, other) in zip(base.named_parameters(), tuned.named_parameters(), strict=True)
        if not torch.equal(one, other)
    }
    assert changed
    assert all("proj" in name for name in changed)


@pytest.mark.parametrize("lora", [None, RANDOM_LORA], ids=["whole", "adapters"])
def test_an_interrupted_training_resumes_to_the_same_bytes(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, lora: LoraConfig | None
) -> None:
    config = SFT.model_copy(update={"lora": lora, "checkpoint_steps": 10})
    whole = StubIO(tmp_path / "whole", "sft_checkpoint", inputs)
    report = run_sft(whole, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    cut = StubIO(tmp_path / "cut", "sft_checkpoint", inputs)
    monkeypatch.setattr(interrupt, "requested", lambda: len(cut.logged) >= 2)
    with pytest.raises(interrupt.Interrupted):
        run_sft(cut, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert [path.name for path in cut.checkpoints.glob("checkpoint-*")] == ["checkpoint-3"]
    assert not files(cut.out)
    monkeypatch.setattr(interrupt, "requested", lambda: False)
    assert run_sft(cut, config, seed=1, agent=AGENT) == report  # type: ignore[arg-type]
    assert [step for step, numbers in cut.logged if "loss" in numbers] == [1, 2, 3, 4]
    assert files(cut.out) == files(whole.out)


def test_an_episode_longer_than_the_model_reads_is_said_with_both_numbers(
    inputs: dict[str, Path], policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path
) -> None:
    short = shutil.copytree(inputs["base_policy"], tmp_path / "short")
    settings = json.loads((short / "config.json").read_text(encoding="utf-8"))
    (short / "config.json").write_text(json.dumps({**settings, "max_position_embeddings": 40}), encoding="utf-8")
    rows = encode_conversations(policy.tokenizer, _conversations(toolbox, 24), tool_schemas(AGENT))
    longest = max(len(ids) for ids, _ in rows)
    io = StubIO(tmp_path / "run", "sft_checkpoint", {**inputs, "base_policy": short})

    with pytest.raises(InputError, match=f"an episode of {longest} tokens, prompt included; expected at most 40"):
        run_sft(io, SFT, seed=1, agent=AGENT)  # type: ignore[arg-type]

    assert not list(io.out.iterdir())


def test_ten_episodes_can_be_overfitted_and_every_parameter_moves(
    policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path
) -> None:
    rows = encode_conversations(policy.tokenizer, _conversations(toolbox, 10), tool_schemas(AGENT))
    start = {name: parameter.detach().clone() for name, parameter in policy.model.named_parameters()}
    config = SFT.model_copy(update={"steps": 160, "batch_size": 10, "learning_rate": 0.01, "checkpoint_steps": 500})
    build_trainer(policy.model, policy.tokenizer, rows, config, folder=tmp_path, seed=1).train()
    assert held_out_loss(policy.model, policy.tokenizer, rows) < 0.05
    still = [name for name, parameter in policy.model.named_parameters() if torch.equal(start[name], parameter)]
    assert not still


def test_the_loss_is_trls_though_only_tokens_with_a_label_get_logits(
    policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path
) -> None:
    conversations = [messages[: 3 + 2 * (place % 2)] for place, messages in enumerate(_conversations(toolbox, 18))]
    rows = encode_conversations(policy.tokenizer, conversations, tool_schemas(AGENT))
    assert len({len(ids) for ids, _ in rows}) > 1
    trainer = build_trainer(policy.model, policy.tokenizer, rows, SFT, folder=tmp_path, seed=1)
    batch = trainer.data_collator([{"input_ids": ids, "labels": labels} for ids, labels in rows])
    theirs = super(type(trainer), trainer).compute_loss(policy.model, dict(batch))
    assert trainer.compute_loss(policy.model, dict(batch)).item() == pytest.approx(theirs.item(), rel=1e-5)


def test_one_batch_of_eight_moves_weights_as_eight_of_one(
    policy_folder: Path, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ends = []
    for largest in (8, 1):
        monkeypatch.setattr("recops.train.models.MICRO_BATCH", largest)
        model, tokenizer = load_trainable(policy_folder)
        rows = encode_conversations(tokenizer, _conversations(toolbox, 8), tool_schemas(AGENT))
        config = SFT.model_copy(update={"steps": 1, "batch_size": 8})
        trainer = build_trainer(model, tokenizer, rows, config, folder=tmp_path / str(largest), seed=1)
        assert trainer.args.gradient_accumulation_steps == 8 // largest
        trainer.train()
        ends.append(weights(model))
    assert torch.allclose(ends[0], ends[1], atol=2e-4)  # Adam's first step turns rounding of near-zero gradients to ±lr


@pytest.mark.parametrize(
    ("steps", "learning_rate", "error", "said"),
    [
        (4, 1e-300, RuntimeError, "sft_checkpoint: no weight changed in 4 steps"),
        (4, 1e15, FloatingPointError, "step 2: loss is nan; lower the learning rate"),
        (1, 1e30, FloatingPointError, "step 1: the norm of the weights is inf; lower the learning rate"),
    ],
)
def test_a_training_that_moved_nothing_or_broke_the_weights_saves_no_policy(
    inputs: dict[str, Path], tmp_path: Path, steps: int, learning_rate: float, error: type[Exception], said: str
) -> None:
    io = StubIO(tmp_path, "sft_checkpoint", inputs)
    config = SFT.model_copy(update={"steps": steps, "learning_rate": learning_rate})
    with pytest.raises(error, match=said):
        run_sft(io, config, seed=1, agent=AGENT)  # type: ignore[arg-type]
    assert not files(io.out)


def test_too_few_episodes_are_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    path = inputs["expert_episodes"] / "episodes.parquet"
    pl.read_parquet(path)[:1].write_parquet(path)
    with pytest.raises(InputError, match="at least 2"):
        run_sft(StubIO(tmp_path, "sft_checkpoint", inputs), SFT, seed=1, agent=AGENT)  # type: ignore[arg-type]
