import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch
from torch.utils.data import Dataset

from recops import interrupt
from recops.agent.label_model import LabelModel
from recops.agent.label_ranker import LabelRanker, label_prompts
from recops.agent.local_policy import LocalPolicy
from recops.config.llm_baselines import LlaraConfig, LlmBaselinesConfig, SDpoConfig
from recops.data.samples import SampleStore
from recops.errors import InputError
from recops.records import Sample
from recops.retrieval.sasrec import load_sasrec
from recops.tools.toolbox import Toolbox
from recops.train.label_lesson import LabelExample, LabelLesson, collate_examples, text_only
from recops.train.label_loss import label_loss
from recops.train.label_trainer import train_labels
from recops.train.llara import build_projector
from recops.train.llm_baseline import BaselineRun
from recops.train.llm_baselines import LlmBaselinesReport, run_llm_baselines
from recops.train.models import load_trainable
from recops.train.s_dpo import collate_scored, preference_loss, reference_scores
from tests.recops.agent.world import AGENT
from tests.recops.train.small import LORA, StubIO, files, weights

CONFIG = LlmBaselinesConfig(
    item_fields=("category",),
    batch_size=4,
    checkpoint_steps=2,
    lora=None,
    llara=LlaraConfig(steps=4, learning_rate=0.005, projector_width=8),
    s_dpo=SDpoConfig(sft_steps=3, sft_learning_rate=0.005, steps=3, learning_rate=0.005, beta=1.0, num_negatives=3),
)


@pytest.fixture
def inputs(folders: tuple[Path, Path], policy_folder: Path) -> dict[str, Path]:
    return {"base_policy": policy_folder, "validated_splits": folders[0], "sasrec_embeddings": folders[1]}


def _run(io: StubIO, **values: Any) -> LlmBaselinesReport:
    return run_llm_baselines(io, CONFIG.model_copy(update=values), seed=1, agent=AGENT)  # type: ignore[arg-type]


def test_both_baselines_are_trained_saved_and_rank(inputs: dict[str, Path], toolbox: Toolbox, tmp_path: Path) -> None:
    io = StubIO(tmp_path, "llm_baselines", inputs)
    report = _run(io)
    assert report.llara is not None
    assert report.s_dpo is not None
    assert report.llara.supervised_tokens == 16
    assert (report.s_dpo.supervised_tokens, report.s_dpo.preferences) == (12, 36)
    assert report.llara.projector_parameters < report.llara.trainable_parameters
    assert json.loads((io.out / "systems.json").read_text()) == {"systems": ["llara", "s_dpo"]}
    names = set(pl.read_parquet(io.out / "curve.parquet")["name"])
    assert {"llara/loss", "s_dpo_sft/loss", "s_dpo/loss"} <= names
    assert {step for step, numbers in io.logged if "llara/loss" in numbers} == {1, 2, 3, 4}
    assert not [path for path in io.out.rglob("*") if path.suffix in (".bin", ".pt", ".pkl")]
    sasrec = load_sasrec(inputs["sasrec_embeddings"])
    sample = toolbox.store.sample(0)
    for name in ("llara", "s_dpo"):
        [ranking] = LabelRanker.load(io.out / name, toolbox.store.items, sasrec, AGENT).rank([sample])
        assert sorted(ranking) == sorted(sample.candidates)


def test_equal_runs_give_equal_bytes_and_an_interrupted_one_resumes_to_them(
    inputs: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole = StubIO(tmp_path / "whole", "llm_baselines", inputs)
    report = _run(whole)
    cut = StubIO(tmp_path / "cut", "llm_baselines", inputs)
    for stop in ("llara/loss", "s_dpo_sft/loss", "s_dpo/loss"):
        monkeypatch.setattr(interrupt, "requested", lambda stop=stop: any(stop in numbers for _, numbers in cut.logged))
        with pytest.raises(interrupt.Interrupted):
            _run(cut)
        for path in cut.out.iterdir():  # The runner gives an empty folder to each attempt.
            path.rename(tmp_path / f"{stop.partition('/')[0]}_{path.name}")
    monkeypatch.setattr(interrupt, "requested", lambda: False)
    assert _run(cut) == report
    assert files(cut.out) == files(whole.out)


def test_a_baseline_that_is_off_is_neither_trained_nor_listed(inputs: dict[str, Path], tmp_path: Path) -> None:
    io = StubIO(tmp_path, "llm_baselines", inputs)
    report = _run(io, llara=None, s_dpo=None)
    assert (report.llara, report.s_dpo) == (None, None)
    assert files(io.out).keys() == {"systems.json"}
    assert json.loads((io.out / "systems.json").read_text()) == {"systems": []}


def test_adapters_and_projector_are_all_that_lora_trains(inputs: dict[str, Path], tmp_path: Path) -> None:
    io = StubIO(tmp_path, "llm_baselines", inputs)
    report = _run(io, lora=LORA, s_dpo=CONFIG.s_dpo)
    base = load_trainable(inputs["base_policy"])[0]
    assert report.llara is not None
    assert report.llara.trainable_parameters < sum(parameter.numel() for parameter in base.parameters())
    for name in ("llara", "s_dpo"):
        tuned = load_trainable(io.out / name)[0]
        pairs = zip(base.named_parameters(), tuned.named_parameters(), strict=True)
        changed = {name for (name, one), (_, other) in pairs if not torch.equal(one, other)}
        assert changed
        assert all("proj" in name for name in changed)


def test_more_negatives_than_other_candidates_are_refused(inputs: dict[str, Path], tmp_path: Path) -> None:
    assert CONFIG.s_dpo is not None
    io = StubIO(tmp_path, "llm_baselines", inputs)
    with pytest.raises(InputError, match="at most 5: the candidates but the target"):
        _run(io, s_dpo=CONFIG.s_dpo.model_copy(update={"num_negatives": 6}))
    assert not list(io.out.iterdir())


@pytest.mark.parametrize(
    ("learning_rate", "error", "said"),
    [
        (1e-300, RuntimeError, "llm_baselines, llara: no weight of the language model and the projector changed in 4"),
        (1e15, FloatingPointError, "step 2: loss is nan; lower the learning rate"),
        (1e30, FloatingPointError, "step 1: the norm of the weights is inf; lower the learning rate"),
    ],
)
def test_a_training_that_moved_nothing_or_broke_the_weights_saves_no_baseline(
    inputs: dict[str, Path], tmp_path: Path, learning_rate: float, error: type[Exception], said: str
) -> None:
    assert CONFIG.llara is not None
    io = StubIO(tmp_path, "llm_baselines", inputs)
    with pytest.raises(error, match=said):
        _run(io, llara=CONFIG.llara.model_copy(update={"learning_rate": learning_rate}))
    assert not files(io.out)


Train = Callable[..., tuple[LabelModel, "Repeated"]]


class Repeated(Dataset[LabelExample]):
    """The first examples of a lesson, again and again."""

    def __init__(self, lesson: LabelLesson, *, distinct: int, total: int) -> None:
        self.examples, self.total = [lesson[number] for number in range(distinct)], total

    def __len__(self) -> int:
        return self.total

    def __getitem__(self, number: int) -> LabelExample:
        return self.examples[number % len(self.examples)]


@pytest.fixture
def samples(toolbox: Toolbox) -> list[Sample]:
    ids = [int(number) for name in ("policy_train", "valid") for number in toolbox.store.sample_ids(name)]
    return [toolbox.store.sample(number) for number in ids][:10]


@pytest.fixture
def train(inputs: dict[str, Path], samples: list[Sample], tmp_path: Path) -> Train:
    """Train a text or hybrid model on the same batch of examples at every step; return both."""

    def run(
        *, hybrid: bool, steps: int, batch_size: int, name: str = "run", learning_rate: float = 0.01
    ) -> tuple[LabelModel, Repeated]:
        io: Any = StubIO(tmp_path / name, "llm_baselines", inputs)
        store, sasrec = SampleStore.load(inputs["validated_splits"]), load_sasrec(inputs["sasrec_embeddings"])
        scene = BaselineRun(io, CONFIG, AGENT, store, sasrec, samples, seed=1)
        policy = scene.open_base()
        assert CONFIG.llara is not None
        projector = build_projector(scene, policy.model, CONFIG.llara, 2) if hybrid else None
        model = LabelModel(policy.model, projector)
        whole = LabelLesson(samples, scene.prompts(policy), num_examples=batch_size, num_negatives=0,
                            hybrid_share=lambda _: float(hybrid), seed=3)  # fmt: skip
        lesson = Repeated(whole, distinct=batch_size, total=steps * batch_size)
        collator = partial(collate_examples, pad_id=policy.tokenizer.pad_token_id)
        settings = {"batch_size": batch_size, "learning_rate": learning_rate, "checkpoint_steps": 500, "seed": 5}
        loss: Any = lambda logits, batch: label_loss(logits, batch["chosen_B"])  # noqa: E731
        train_labels(io, name, model, lesson, collator, loss, steps=steps, **settings)  # type: ignore[arg-type]
        return model, lesson

    return run


@pytest.mark.parametrize("hybrid", [False, True])
def test_ten_samples_can_be_overfitted_and_every_parameter_moves(
    train: Train, policy: LocalPolicy, *, hybrid: bool
) -> None:
    start = {name: parameter.detach().clone() for name, parameter in policy.model.named_parameters()}
    model, lesson = train(hybrid=hybrid, steps=120, batch_size=10)
    batch = collate_examples(lesson.examples, pad_id=policy.tokenizer.pad_token_id)
    with torch.no_grad():
        logits = model(batch["ids_BL"], batch["items_BL"], batch["lengths_B"])
    assert label_loss(logits, batch["chosen_B"]).item() < 0.05
    still = [name for name, one in model.language_model.named_parameters() if torch.equal(one, start[name])]
    assert not still


def test_one_batch_of_eight_moves_weights_as_eight_of_one(train: Train, monkeypatch: pytest.MonkeyPatch) -> None:
    ends = []
    for largest in (8, 1):
        monkeypatch.setattr("recops.train.models.MICRO_BATCH", largest)
        model, _ = train(hybrid=True, steps=1, batch_size=8, name=f"of_{largest}", learning_rate=0.001)
        ends.append(weights(model))
    assert torch.allclose(ends[0], ends[1], atol=2e-4)  # Adam's first step turns rounding of near-zero gradients to ±lr


def test_the_reference_is_the_model_before_preference_training(
    policy: LocalPolicy, toolbox: Toolbox, samples: list[Sample]
) -> None:
    model = LabelModel(policy.model, None)
    prompts = label_prompts(policy, toolbox.store.items, CONFIG.item_fields, AGENT)
    lesson = LabelLesson(samples, prompts, num_examples=10, num_negatives=3, hybrid_share=text_only, seed=1)
    scores = reference_scores(lesson, model, pad_id=0)
    assert len(scores) == 10
    batch = collate_scored([(lesson[number], scores[number]) for number in range(10)], pad_id=0)
    with torch.no_grad():
        loss = preference_loss(model(batch["ids_BL"], batch["items_BL"], batch["lengths_B"]), batch, 0.7)
    assert loss.item() == pytest.approx(torch.log(torch.tensor(4.0)).item(), abs=1e-5)
