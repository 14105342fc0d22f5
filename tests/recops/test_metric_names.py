"""One thing has one name in MLflow, whatever stage measured it: names of the stages' own reports."""

from dataclasses import asdict
from typing import Any, get_type_hints

from recops.evaluate.baselines import BaselinesReport
from recops.evaluate.report import EvaluationReport
from recops.metric_names import logged_names
from recops.runner import numbers_of
from recops.train.grpo import GrpoReport
from recops.train.ppr import PairAccuracy, PprReport

GRPO = GrpoReport(**{name: kind(3) for name, kind in get_type_hints(GrpoReport).items()})


def names(stage: Any, report: Any) -> dict[str, float]:
    return logged_names(stage, numbers_of(asdict(report)))


def test_grpo_and_ppr_log_their_training_under_the_same_names() -> None:
    accuracy = PairAccuracy(more=0.5, less=0.5, both=0.25)
    ppr = PprReport(10, 2, 3, before=accuracy, after=accuracy, chance=accuracy, training=GRPO)
    grpo = names("grpo_model", GRPO)
    assert "reward_last" in grpo
    assert grpo.items() <= names("ppr_model", ppr).items()
    assert "after.both" in names("ppr_model", ppr)


def test_a_baseline_has_one_name_in_its_own_run_and_in_an_evaluation() -> None:
    ranked = {"test": {"sasrec": 0.4}, "valid": {"sasrec": 0.3}}
    further = {"test": {"sasrec": 0.2}, "valid": {"sasrec": 0.1}}
    catalogue = {"test": {"sasrec": 0.05}, "valid": {"sasrec": 0.04}}
    found = {"candidates": ranked, "candidates_popularity": further, "catalogue": catalogue}
    baselines = names(
        "baselines", BaselinesReport(num_samples={}, fusion_weights={}, ndcg_at_10=found, sentence_model_sha256="")
    )
    evaluation = EvaluationReport(
        num_samples=5,
        num_test_samples=4,
        candidates_sha256="",
        best_system="sasrec",
        systems={"sasrec": {"ndcg@10": 0.4}},
        valid={"sasrec": {"ndcg@10": 0.3}},
        differences=[],
        injection={},
        further_candidates={"popularity": {"sasrec": {"ndcg@10": 0.2}}},
        frozen_model={},
    )
    evaluated = names("evaluation_reports", evaluation)
    assert len(evaluated) == 5
    assert {name: evaluated[name] for name in evaluated if "sasrec" in name}.items() <= baselines.items()
    rest = {"valid.further_candidates.popularity.sasrec.ndcg@10": 0.1, "catalogue.sasrec.ndcg@10": 0.05}
    assert {**rest, "valid.catalogue.sasrec.ndcg@10": 0.04}.items() <= baselines.items()
