"""Full tuning of a model that is stored in bfloat16: float32 weights train, passes are bfloat16, bfloat16 is saved."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from recops import interrupt
from recops.agent import slots
from recops.agent.local_policy import LocalPolicy
from recops.agent.player import Player
from recops.agent.rollout import play
from recops.agent.sampler import Sampler
from recops.config.policy import PreferencePairsConfig, PretrainedPolicyConfig
from recops.tools.toolbox import Toolbox
from recops.train.grpo import build_trainer, run_grpo
from recops.train.llm_baselines import run_llm_baselines
from recops.train.models import load_trainable, make_trainable, stored_dtype
from recops.train.pairs import run_preference_pairs
from recops.train.ppr import run_ppr
from recops.train.pretrained import import_pretrained
from recops.train.sft import build_trainer as build_sft_trainer
from recops.train.sft import run_sft
from tests.recops.agent.world import AGENT, all_tasks, play_script
from tests.recops.train.small import GRPO, SFT, StubIO, files
from tests.recops.train.test_llm_baselines import CONFIG
from tests.recops.train.test_ppr import PPR

RATE = 1e-6
"""The published rate of full tuning."""
Runs = dict[str, tuple[Callable[..., Any], Any]]
STAGES: Runs = {
    "sft_checkpoint": (run_sft, SFT.model_copy(update={"learning_rate": RATE, "checkpoint_steps": 3})),
    "grpo_model": (
        run_grpo,
        GRPO.model_copy(update={"learning_rate": RATE, "steps": 3, "checkpoint_steps": 3, "tool_loop": "recops"}),
    ),
}


@pytest.fixture(scope="module")
def bfloat16_folder(policy_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("bfloat16")
    config = PretrainedPolicyConfig(
        kind="pretrained", model=str(policy_folder), revision=None, adapter=None, dtype="bfloat16"
    )
    import_pretrained(config, folder, max_new_tokens=64)
    return folder


@pytest.fixture
def inputs(bfloat16_folder: Path, folders: tuple[Path, Path], toolbox: Toolbox, tmp_path: Path) -> dict[str, Path]:
    """What SFT and GRPO read; experts call one tool and answer in its order."""
    experts = tmp_path / "expert_episodes"
    experts.mkdir()
    episodes = [play_script(task, toolbox, "Ranking: A B C D E F") for task in all_tasks(toolbox)[:24]]
    pl.DataFrame({"messages": [json.dumps(one.messages) for one in episodes]}).write_parquet(
        experts / "episodes.parquet"
    )
    return {
        "base_policy": bfloat16_folder,
        "expert_episodes": experts,
        "sft_checkpoint": bfloat16_folder,
        "validated_splits": folders[0],
        "sasrec_embeddings": folders[1],
    }


@pytest.fixture(autouse=True)
def as_a_large_model(monkeypatch: pytest.MonkeyPatch) -> None:
    """Gradient checkpointing and short passes, which tiny models are spared."""
    monkeypatch.setattr("recops.train.models._LARGE_PARAMETERS", 1)


def _weights(folder: Path) -> dict[str, Tensor]:
    return load_file(folder / "model.safetensors")


@pytest.mark.parametrize("stage", STAGES)
def test_most_weights_move_at_a_small_rate_and_what_is_saved_is_bfloat16(
    stage: str, inputs: dict[str, Path], tmp_path: Path
) -> None:
    function, config = STAGES[stage]
    io = StubIO(tmp_path / "run", stage, inputs)

    function(io, config, seed=1, agent=AGENT)

    before, trained = _weights(inputs["base_policy"]), _weights(io.checkpoints / "checkpoint-3")
    assert {one.dtype for one in trained.values()} == {torch.float32}
    moved = sum(int((before[name].float() != one).sum()) for name, one in trained.items())
    assert moved > 0.9 * sum(one.numel() for one in trained.values())
    saved = _weights(io.out)
    assert {one.dtype for one in saved.values()} == {torch.bfloat16}
    assert json.loads((io.out / "config.json").read_text(encoding="utf-8"))["dtype"] == "bfloat16"
    if stage == "grpo_model":  # whose checkpoint is that of the last step
        assert all(torch.equal(one.bfloat16(), saved[name]) for name, one in trained.items())


@pytest.mark.parametrize("stage", STAGES)
def test_an_interrupted_training_goes_on_with_the_masters_bits(
    stage: str, inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    function, config = STAGES[stage]
    config = config.model_copy(update={"checkpoint_steps": config.steps})
    whole, cut = StubIO(tmp_path / "whole", stage, inputs), StubIO(tmp_path / "cut", stage, inputs)
    report = function(whole, config, seed=1, agent=AGENT)
    monkeypatch.setattr(interrupt, "requested", lambda: len(cut.logged) >= 1)
    with pytest.raises(interrupt.Interrupted):
        function(cut, config, seed=1, agent=AGENT)
    assert [path.name for path in cut.checkpoints.glob("checkpoint-*")] == ["checkpoint-2"]
    monkeypatch.setattr(interrupt, "requested", lambda: False)

    assert function(cut, config, seed=1, agent=AGENT) == report

    last = f"checkpoint-{config.steps}"
    ours, theirs = _weights(cut.checkpoints / last), _weights(whole.checkpoints / last)
    assert all(torch.equal(one, theirs[name]) for name, one in ours.items())
    assert files(cut.out) == files(whole.out)


def test_passes_of_sft_compute_in_bfloat16(bfloat16_folder: Path, tmp_path: Path) -> None:
    model, tokenizer = load_trainable(bfloat16_folder)
    model = make_trainable(model, None, 1)
    formats: set[tuple[torch.dtype, torch.dtype]] = set()
    layer = model.model.layers[0].self_attn.q_proj
    layer.register_forward_hook(lambda module, _, out: formats.add((module.weight.dtype, out.dtype)))
    rows = [([1, 2, 3, 4], [-100, -100, 3, 4])] * 4

    build_sft_trainer(model, tokenizer, rows, SFT, folder=tmp_path, seed=1).train()

    assert formats == {(torch.float32, torch.bfloat16)}


def _differences(
    folder: Path, toolbox: Toolbox, root: Path, monkeypatch: pytest.MonkeyPatch, *, autocast: bool
) -> Tensor:
    """Return |log-probability when sampled - when trained on| of each token of a step's episodes, float32 (T,)."""
    model, tokenizer = load_trainable(folder)
    config = GRPO.model_copy(update={"tool_loop": "recops"})
    trainer = build_trainer(
        make_trainable(model, None, 1), tokenizer, all_tasks(toolbox), toolbox, config, folder=root, seed=1, agent=AGENT
    )
    trainer.args.bf16 = autocast  # what the loop is told
    sampled: dict[int, list[float]] = {}

    def spying(choose: Sampler) -> Sampler:
        def sample(logits_RV: Tensor, players: list[Player]) -> list[int]:
            tokens = choose(logits_RV, players)
            for player, token, row in zip(players, tokens, logits_RV.log_softmax(dim=-1), strict=True):
                sampled.setdefault(player.number, []).append(float(row[token]))
            return tokens

        return sample

    real = slots.sampler_of
    monkeypatch.setattr(slots, "sampler_of", lambda *one, **named: spying(real(*one, **named)))
    trainer.model.train()
    rows = [trainer.train_dataset[row] for row in range(4) for _ in range(config.group_size)]
    output = trainer._generate_and_score_completions(rows)
    monkeypatch.undo()
    ids = torch.cat([output["prompt_ids"], output["completion_ids"]], dim=1)
    seen = torch.cat([output["prompt_mask"], output["completion_mask"]], dim=1)
    with torch.no_grad():
        trained, _, _ = trainer._get_per_token_logps_and_entropies(
            trainer.model, ids, seen, output["completion_ids"].shape[1]
        )
    own = (output["completion_mask"] * output["tool_mask"]).bool()
    return torch.cat(
        [
            (row[on] - torch.tensor(sampled[place])).abs()
            for place, (row, on) in enumerate(zip(trained, own, strict=True))
        ]
    )


def test_sampling_and_the_first_update_give_tokens_the_same_probabilities(
    bfloat16_folder: Path, toolbox: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    own = _differences(bfloat16_folder, toolbox, tmp_path / "own", monkeypatch, autocast=True)
    plain = _differences(bfloat16_folder, toolbox, tmp_path / "plain", monkeypatch, autocast=False)
    # Not zero, for products of other shapes end in other last digits: .0002, where passes without autocast give .0045.
    assert float(own.mean()) < 0.2 * float(plain.mean())


def test_every_stage_of_the_agent_takes_over_from_the_one_before_in_bfloat16(
    inputs: dict[str, Path], toolbox: Toolbox, tmp_path: Path
) -> None:
    made = dict(inputs)
    pairs = PreferencePairsConfig(num_samples=40, batch_size=16, constrain_answers=False)
    stages: list[tuple[str, Any, Any]] = [
        ("sft_checkpoint", run_sft, STAGES["sft_checkpoint"][1]),
        ("grpo_model", run_grpo, STAGES["grpo_model"][1]),
        ("preference_pairs", run_preference_pairs, pairs),
        ("ppr_model", run_ppr, PPR.model_copy(update={"lora": None, "learning_rate": RATE})),
    ]
    for name, function, config in stages:
        io = StubIO(tmp_path / name, name, made)
        function(io, config, seed=1, agent=AGENT)
        made[name] = io.out

    policy = LocalPolicy.load(made["ppr_model"])
    assert stored_dtype(policy.model) == torch.bfloat16
    [episode] = play(policy, all_tasks(toolbox)[:1], toolbox, AGENT, temperature=0.0, seed=1, batch_size=1)
    assert episode.messages[-1]["role"] == "assistant"


def test_the_reference_of_s_dpo_computes_as_its_policy_does(inputs: dict[str, Path], tmp_path: Path) -> None:
    io = StubIO(tmp_path / "run", "llm_baselines", inputs)
    config = CONFIG.model_copy(update={"llara": None, "batch_size": 8})

    report = run_llm_baselines(io, config, seed=1, agent=AGENT)  # type: ignore[arg-type]

    assert report.s_dpo is not None
    assert report.s_dpo.loss_first == pytest.approx(math.log(1 + 3), abs=1e-4)
    assert {one.dtype for one in _weights(io.out / "s_dpo").values()} == {torch.bfloat16}
