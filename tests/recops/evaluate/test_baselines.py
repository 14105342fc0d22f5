import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import pytest

from recops.artifacts import read_json
from recops.config.baselines import SentenceModelConfig
from recops.errors import InputError
from recops.evaluate.baselines import BaselinesReport, run_baselines
from recops.evaluate.merging import Fusion, LambdaMart
from recops.evaluate.ranking import metric_tables
from recops.evaluate.scorers import scorers
from recops.metrics import ABSENT, METRICS, ndcg_at_k
from recops.records import SliceName
from recops.retrieval.evidence import Evidence
from recops.seeds import sub_seed
from recops.summary import baselines_table
from tests.recops.evaluate.baseline_settings import (
    CONFIG,
    FULL_AGENT,
    MERGES,
    SINGLES,
    WINDOW,
    evidence_of,
    lists_of,
    with_further_candidates,
)
from tests.recops.retrieval.conftest import fitted
from tests.recops.retrieval.small_splits import (
    NUM_CANDIDATES,
    NUM_ITEMS,
    contents,
    interactions,
    stage_io,
    write_splits,
)

__all__ = ["fitted"]

SYSTEMS = (*SINGLES, WINDOW, *MERGES)


@pytest.fixture(scope="module")
def root(fitted: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The small splits with two kinds of candidates, and the SASRec that was fitted on them."""
    root = tmp_path_factory.mktemp("baselines")
    io = stage_io(root, "baselines")
    with_further_candidates(write_splits(io.layout.artefact("validated_splits")))
    link_sasrec(fitted, root)
    write_splits_manifest(root)
    return root


def link_sasrec(fitted: Path, root: Path) -> None:
    folder = stage_io(root, "baselines").layout.artefact("sasrec_embeddings")
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.symlink_to(stage_io(fitted, "sasrec_embeddings").out)


def write_splits_manifest(root: Path) -> None:
    from recops.artifacts import write_manifest

    write_manifest(stage_io(root, "baselines").layout.artefact("validated_splits"), {})


@pytest.fixture(scope="module")
def measured(root: Path) -> tuple[Path, BaselinesReport]:
    io = stage_io(root, "baselines")
    report = run_baselines(io, CONFIG, seed=7, agent=FULL_AGENT)
    assert set(io.opened) == {"validated_splits", "sasrec_embeddings"}  # and no raw_data: there is no truth in it
    assert not (io.out / "bounds.parquet").exists()
    return io.out, report


@pytest.fixture(scope="module")
def known(root: Path, fitted: Path) -> Evidence:
    return evidence_of(fitted, stage_io(root, "baselines").layout.artefact("validated_splits"))


def rankings(out: Path, **equal: str) -> pl.DataFrame:
    return pl.read_parquet(out / "rankings.parquet").filter(**equal)


def run_with(root: Path, out: Path, **change: Any) -> BaselinesReport:
    io = stage_io(root, "baselines")
    io.out = out
    return run_baselines(io, CONFIG.model_copy(update=change), seed=7, agent=FULL_AGENT)


def test_every_system_ranks_every_sample_of_every_kind_once(
    measured: tuple[Path, BaselinesReport], known: Evidence
) -> None:
    out, _ = measured
    slices: tuple[SliceName, ...] = ("valid", "test")
    num_rows = 0
    for ranked, systems, most in (
        ("candidates", SYSTEMS, NUM_CANDIDATES),
        ("candidates_popularity", SYSTEMS, NUM_CANDIDATES),
        ("catalogue", (*SINGLES, WINDOW), NUM_ITEMS),
    ):
        for system in systems:
            for name in slices:
                part = rankings(out, system=system, slice=name, ranked=ranked)
                assert part["sample_id"].to_list() == known.store.sample_ids(name).tolist()
                assert part["rank"].is_between(0, most - 1).all()
                num_rows += len(part)
    assert len(pl.read_parquet(out / "rankings.parquet")) == num_rows


def test_rank_is_the_place_of_the_target_in_the_evidences_order(
    measured: tuple[Path, BaselinesReport], known: Evidence
) -> None:
    for kind in known.store.candidate_kinds:
        table = rankings(measured[0], system="recent_popularity", ranked=kind)
        for sample_id, rank in table.sample(20, seed=0).select("sample_id", "rank").iter_rows():
            sample = known.store.sample(sample_id, kind)
            taken = known.popularity(sample, sample.candidates, FULL_AGENT.popularity_window_days)
            mine = taken[sample.candidates.index(sample.target)]
            assert (taken > mine).sum() <= rank < (taken >= mine).sum()


def test_what_the_systems_have_learned_is_measured(measured: tuple[Path, BaselinesReport]) -> None:
    ndcg = measured[1].ndcg_at_10["candidates"]["test"]
    chance = float(ndcg_at_k(np.arange(4), 10).sum() / NUM_CANDIDATES)
    assert abs(ndcg["random"] - chance) < 0.15
    assert ndcg["sasrec"] > 0.8
    assert min(ndcg["item_knn"], ndcg["fusion"], ndcg["lambdamart"], ndcg["lambdamart_scores"]) > 0.7
    assert measured[1].ndcg_at_10["catalogue"]["test"]["item_knn"] > 0.3
    assert measured[1].fusion_weights["candidates"]["sasrec"] >= 0.5


def test_same_seed_same_bytes(measured: tuple[Path, BaselinesReport], root: Path, tmp_path: Path) -> None:
    assert run_with(root, tmp_path) == measured[1]
    assert contents(tmp_path) == contents(measured[0])


def test_metrics_are_cut_where_an_agents_list_ends_but_in_the_catalogue(
    measured: tuple[Path, BaselinesReport], known: Evidence
) -> None:
    metrics = read_json(measured[0] / "metrics.json")["slices"]["test"]
    assert metrics["num_cold"] == 0
    users = [known.store.sample(int(i)).user for i in known.store.sample_ids("test")]
    for ranked in ("candidates", "catalogue"):
        ranks = rankings(measured[0], system="random", slice="test", ranked=ranked)["rank"].to_numpy()
        cut = np.where(ranks < FULL_AGENT.num_ranked, ranks, ABSENT)
        assert (cut != ranks).any()
        kept = {"random": ranks if ranked == "catalogue" else cut}
        expected = metric_tables(kept, users, draws=100, confidence=0.95, seed=sub_seed(7, "bootstrap"))["random"]
        found = metrics["ranked"][ranked]["systems"]["random"]
        assert set(found) == {"all", "warm"}
        for name in METRICS:
            assert found["all"][name] == pytest.approx(expected[name])


def test_warm_and_cold_targets_are_measured_apart(root: Path, tmp_path: Path) -> None:
    splits = stage_io(root, "baselines").layout.artefact("validated_splits")
    samples = pl.read_parquet(splits / "samples.parquet")
    try:
        samples.with_columns(target_is_warm=pl.col("user") % 2 == 0).write_parquet(splits / "samples.parquet")
        write_splits_manifest(root)
        run_with(root, tmp_path, systems=("sasrec",), references=())
    finally:
        samples.write_parquet(splits / "samples.parquet")
        write_splits_manifest(root)
    metrics = read_json(tmp_path / "metrics.json")["slices"]["test"]
    tables = metrics["ranked"]["candidates"]["systems"]["sasrec"]
    assert metrics["num_cold"] == metrics["num_samples"] // 2
    pooled = (tables["warm"]["mrr"]["mean"] + tables["cold"]["mrr"]["mean"]) / 2
    assert tables["all"]["mrr"]["mean"] == pytest.approx(pooled)


def test_every_system_is_compared_with_the_best_and_with_each_reference(
    measured: tuple[Path, BaselinesReport],
) -> None:
    table = read_json(measured[0] / "metrics.json")["slices"]["test"]["ranked"]["candidates"]
    means = {name: groups["all"]["ndcg@10"]["mean"] for name, groups in table["systems"].items()}
    best = next(one["against"] for one in table["differences"] if one["role"] == "best baseline")
    assert means[best] == pytest.approx(max(means.values()))
    compared = {(one["system"], one["against"], one["role"]) for one in table["differences"]}
    references = set(CONFIG.references) - {best}
    expected = {(name, best, "best baseline") for name in SYSTEMS if name != best}
    assert compared == expected | {(name, one, "reference") for name in SYSTEMS for one in references if name != one}
    for one in table["differences"]:
        assert one["mean"] == pytest.approx(means[one["system"]] - means[one["against"]])
        assert one["p_value"] <= one["p_holm"] <= 1
        assert one["differs"] == (one["p_holm"] < 0.05)


def test_merging_is_fitted_on_policy_train_only(
    measured: tuple[Path, BaselinesReport], root: Path, known: Evidence
) -> None:
    splits = stage_io(root, "baselines").layout.artefact("validated_splits")
    train, test = (
        lists_of(known, splits, [known.store.sample(i) for i in known.store.sample_ids(name).tolist()])
        for name in ("policy_train", "test")
    )
    seed = sub_seed(7, "lambdamart")
    mergers = {
        "fusion": Fusion(train),
        "lambdamart": LambdaMart(train, CONFIG.lambdamart, with_scores=False, seed=seed),
        "lambdamart_scores": LambdaMart(train, CONFIG.lambdamart, with_scores=True, seed=seed),
    }
    for name, merger in mergers.items():
        scores = merger.scores(test)
        target = np.take_along_axis(scores, test.target_places[:, None], axis=1)
        written = rankings(measured[0], system=name, slice="test", ranked="candidates")["rank"].to_numpy()
        assert ((scores > target).sum(axis=1) <= written).all()
        assert (written < (scores >= target).sum(axis=1)).all()


def test_the_scores_behind_the_orders_are_for_the_labelled_row_alone(root: Path, known: Evidence) -> None:
    splits = stage_io(root, "baselines").layout.artefact("validated_splits")
    lists = lists_of(known, splits, [known.store.sample(i) for i in known.store.sample_ids("policy_train").tolist()])
    stretched = dataclasses.replace(lists, scores={name: np.exp(values) for name, values in lists.scores.items()})
    for with_scores in (False, True):
        ranker = LambdaMart(lists, CONFIG.lambdamart, with_scores=with_scores, seed=1)
        assert np.array_equal(ranker.scores(lists), ranker.scores(stretched)) == (not with_scores)


@pytest.mark.parametrize(
    "change",
    [
        {"item_knn": CONFIG.item_knn.model_copy(update={"num_neighbours": 1})},
        {"item_knn": CONFIG.item_knn.model_copy(update={"shrinkage": 50.0})},
        {"item_knn": CONFIG.item_knn.model_copy(update={"history_length": 1})},
        {"item_knn": CONFIG.item_knn.model_copy(update={"recency_decay": 1.0})},
        {"als": CONFIG.als.model_copy(update={"width": 2})},
        {"als": CONFIG.als.model_copy(update={"regularization": 9.0})},
        {"als": CONFIG.als.model_copy(update={"confidence": 1.0})},
        {"als": CONFIG.als.model_copy(update={"iterations": 1})},
        {"popularity_windows_days": (1,)},
    ],
)
def test_every_setting_of_a_system_changes_scores(root: Path, known: Evidence, change: dict[str, Any]) -> None:
    splits = stage_io(root, "baselines").layout.artefact("validated_splits")
    samples = [known.store.sample(i) for i in known.store.sample_ids("test").tolist()]
    found = [
        [
            scorer(samples)
            for scorer in scorers(
                ("item_knn", "als", *config.windows), known, splits, config, agent=FULL_AGENT, seed=7
            ).values()
        ]
        for config in (CONFIG, CONFIG.model_copy(update=change))
    ]
    assert not np.array_equal(*found, equal_nan=True)


@pytest.mark.parametrize(
    "change", [{"num_trees": 2}, {"learning_rate": 1.0}, {"num_leaves": 2}, {"min_candidates_per_leaf": 150}]
)
def test_every_setting_of_the_ranker_changes_scores(root: Path, known: Evidence, change: dict[str, Any]) -> None:
    splits = stage_io(root, "baselines").layout.artefact("validated_splits")
    lists = lists_of(known, splits, [known.store.sample(i) for i in known.store.sample_ids("policy_train").tolist()])
    configs = CONFIG.lambdamart, CONFIG.lambdamart.model_copy(update=change)
    one, other = (LambdaMart(lists, config, with_scores=False, seed=1).scores(lists) for config in configs)
    assert not np.array_equal(one, other)


def test_a_slice_without_samples_is_named(fitted: Path, tmp_path: Path) -> None:
    io = stage_io(tmp_path, "baselines")
    rows = interactions().with_columns(slice=pl.col("slice").replace("valid", "test"))
    write_splits(io.layout.artefact("validated_splits"), rows)
    link_sasrec(fitted, tmp_path)
    with pytest.raises(InputError, match="slice valid: found no samples"):
        run_with(tmp_path, io.out, systems=("random",), references=())
    assert not contents(io.out)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"systems": ("random", "random")}, "named twice"),
        ({"popularity_windows_days": (7, 7)}, "named twice"),
        ({"references": ("popularity_9_days",)}, "no system of this recipe: popularity_9_days"),
        ({"systems": ("random", "sentence_similarity"), "references": ()}, "go together"),
        ({"sentence_model": SentenceModelConfig(folder="x", batch_size=2, max_tokens=8)}, "go together"),
    ],
)
def test_settings_that_do_not_fit_together_are_refused(change: dict[str, Any], message: str) -> None:
    with pytest.raises(ValueError, match=message):
        CONFIG.model_validate({**CONFIG.model_dump(), **change})


def test_the_printed_table_has_every_system_best_first(measured: tuple[Path, BaselinesReport]) -> None:
    table = read_json(measured[0] / "metrics.json")["slices"]["test"]["ranked"]["candidates_popularity"]
    lines = baselines_table(table).splitlines()
    means = {name: groups["all"]["ndcg@10"]["mean"] for name, groups in table["systems"].items()}
    assert [line.split(" | ")[0].removeprefix("| ") for line in lines[2:]] == sorted(
        means, key=lambda name: -means[name]
    )
    assert len({line.count("|") for line in lines}) == 1
    best = next(one["against"] for one in table["differences"] if one["role"] == "best baseline")
    assert [line for line in lines if line.endswith("|  |  |")] == [
        line for line in lines if line.startswith(f"| {best} |")
    ]
