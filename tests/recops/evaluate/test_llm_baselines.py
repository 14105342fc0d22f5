import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import torch

from recops.agent.behaviour import BehaviourProjector
from recops.agent.label_ranker import save_ranker_settings
from recops.agent.local_policy import LocalPolicy
from recops.artifacts import write_json, write_manifest
from recops.errors import InputError
from recops.evaluate.agent import AGENT_STAGES
from recops.evaluate.llm_baselines import LlmBaselines
from recops.evaluate.report import run_evaluation
from recops.evaluate.systems import cut
from recops.metrics import ABSENT
from recops.paths import Layout
from recops.records import Sample
from recops.retrieval.evidence import Evidence
from recops.retrieval.sasrec import load_sasrec
from recops.stage_io import StageIO
from recops.train.models import save_policy
from tests.recops.agent.world import AGENT
from tests.recops.evaluate.small_pipeline import CONFIG, NUM_RANKED, RecordingTracker, write_policy


@pytest.fixture
def artefact(layout: Layout, policy_folder: Path, tmp_path: Path) -> Path:
    """Both baselines: an untrained projector, and a policy with random weights, which answers to all that it reads."""
    folder = tmp_path / "llm_baselines"
    for name in ("llara", "s_dpo"):
        policy = LocalPolicy.load(policy_folder)
        torch.manual_seed(1)
        for parameter in policy.model.parameters():
            torch.nn.init.normal_(parameter, std=0.5)
        (folder / name).mkdir(parents=True)
        save_policy(policy.model, policy.tokenizer, folder / name, max_new_tokens=8)
        save_ranker_settings(folder / name, ["category"])
    torch.manual_seed(0)
    sasrec = load_sasrec(layout.artefact("sasrec_embeddings"))
    BehaviourProjector(sasrec, hidden_width=4, width=32, token_rms=1.0).save(folder / "llara")
    write_json(folder / "systems.json", {"systems": ["llara", "s_dpo"]})
    write_policy(folder, offset=1.0)
    return folder


def _loaded(folder: Path, layout: Layout) -> LlmBaselines:
    return LlmBaselines.load(folder, layout.artefact("sasrec_embeddings"), AGENT)


def test_each_baseline_ranks_the_frozen_candidates_and_its_list_is_cut(
    artefact: Path, layout: Layout, evidence: Evidence
) -> None:
    ids = evidence.store.sample_ids("test")
    systems = _loaded(artefact, layout).systems(evidence.store, ids, "test", candidate_kind="candidates")
    assert [system.name for system in systems] == ["llara", "s_dpo"]
    assert systems[0].ranks.tolist() != systems[1].ranks.tolist()
    for system in systems:
        assert system.ranks.shape == ids.shape
        assert not system.is_agent
        assert all(0 <= rank < NUM_RANKED or rank == ABSENT for rank in system.ranks)


def test_the_rank_is_where_the_ranking_has_the_target(
    artefact: Path, layout: Layout, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def target_third(_: Any, samples: list[Sample]) -> list[tuple[int, ...]]:
        others = [[item for item in sample.candidates if item != sample.target] for sample in samples]
        return [(*rest[:2], sample.target, *rest[2:]) for sample, rest in zip(samples, others, strict=True)]

    monkeypatch.setattr("recops.evaluate.llm_baselines.LabelRanker.rank", target_third)
    [system, _] = _loaded(artefact, layout).systems(
        evidence.store, evidence.store.sample_ids("test"), "test", candidate_kind="candidates"
    )
    assert set(cut(system.ranks, 3).tolist()) == {2}
    assert set(cut(system.ranks, 2).tolist()) == {ABSENT}


def test_the_report_has_a_row_per_baseline_and_their_curves(
    artefact: Path, layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recops.evaluate.measured.AGENT_STAGES", ("ppr_model",))
    project = Layout(tmp_path / "project", "small")
    for stage in ("validated_splits", "sasrec_embeddings", "baselines", "ppr_model", "llm_baselines"):
        source = artefact if stage == "llm_baselines" else layout.artefact(stage)  # type: ignore[arg-type]
        target = project.artefact(stage)  # type: ignore[arg-type]
        target.parent.mkdir(parents=True, exist_ok=True)
        target.symlink_to(source)
    out = tmp_path / "out"
    checkpoints = tmp_path / "checkpoints"
    for folder in (out, checkpoints):
        folder.mkdir()
    write_manifest(artefact, {})
    io = StageIO("evaluation_reports", project, out, checkpoints, RecordingTracker())
    report = run_evaluation(io, CONFIG, seed=3, agent=AGENT)
    assert {"llara", "s_dpo"} <= report.systems.keys()
    assert {"llara", "s_dpo"} <= report.valid.keys()
    assert "invalid_answers" not in json.loads((out / "metrics.json").read_text())["systems"]["llara"]
    assert set(pl.read_parquet(out / "rankings.parquet")["system"]) >= {"llara", "s_dpo", "sasrec", "ppr_model"}
    assert "llm_baselines" in (out / "plots" / "curves.csv").read_text()
    assert "LLaRA" in (out / "report.html").read_text()


def test_a_projector_of_another_sasrec_is_refused(artefact: Path, layout: Layout, evidence: Evidence) -> None:
    loaded = _loaded(artefact, layout)
    with torch.no_grad():
        loaded.sasrec.item_embedding.weight[1] += 1.0
    with pytest.raises(InputError, match="Run the stage llm_baselines again"):
        loaded.systems(evidence.store, evidence.store.sample_ids("test"), "test", candidate_kind="candidates")


def test_switched_off_baselines_add_no_row_and_no_curve(layout: Layout, evidence: Evidence) -> None:
    loaded = _loaded(layout.artefact("llm_baselines"), layout)
    assert loaded.systems(evidence.store, evidence.store.sample_ids("test"), "test", candidate_kind="candidates") == []
    assert loaded.curves == {}
    assert set(AGENT_STAGES).isdisjoint(loaded.names)
