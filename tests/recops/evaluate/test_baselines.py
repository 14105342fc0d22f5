from pathlib import Path
from typing import get_args

import numpy as np
import polars as pl
import pytest

from recops.artifacts import read_json
from recops.config.baselines import BaselinesConfig, EvidenceName, MergeName
from recops.errors import InputError
from recops.evaluate.baselines import BaselinesReport, run_baselines
from recops.evaluate.evidence_lists import SINGLE_LISTS, evidence_lists
from recops.evaluate.merging import Fusion, LambdaMart
from recops.evaluate.ranking import metric_table
from recops.metrics import ABSENT, ndcg_at_k
from recops.retrieval.evidence import Evidence
from recops.seeds import sub_seed
from recops.tools.toolbox import Toolbox
from tests.recops.retrieval.conftest import fitted
from tests.recops.retrieval.small_splits import AGENT, NUM_CANDIDATES, contents, interactions, stage_io, write_splits

__all__ = ["fitted"]

SYSTEMS = (*get_args(EvidenceName), *get_args(MergeName))
CONFIG = BaselinesConfig(systems=SYSTEMS, bootstrap_draws=100, confidence=0.95)


@pytest.fixture(scope="module")
def measured(fitted: Path) -> tuple[Path, BaselinesReport]:
    io = stage_io(fitted, "baselines")
    report = run_baselines(io, CONFIG, seed=7, agent=AGENT)
    assert set(io.opened) == {"validated_splits", "sasrec_embeddings"}  # and no raw_data: there is no truth in it
    assert not (io.out / "bounds.parquet").exists()
    return io.out, report


@pytest.fixture(scope="module")
def known(fitted: Path) -> Evidence:
    layout = stage_io(fitted, "baselines").layout
    return Evidence.load(layout.artefact("validated_splits"), layout.artefact("sasrec_embeddings"), AGENT, 7)


def test_every_system_ranks_every_sample_once(measured: tuple[Path, BaselinesReport], known: Evidence) -> None:
    table = pl.read_parquet(measured[0] / "rankings.parquet")
    for system in SYSTEMS:
        for name in ("valid", "test"):
            part = table.filter((pl.col("system") == system) & (pl.col("slice") == name))
            assert part["sample_id"].to_list() == known.store.sample_ids(name).tolist()
    assert len(table) == len(SYSTEMS) * 2 * len(known.store.sample_ids("test"))
    assert table["rank"].is_between(0, NUM_CANDIDATES - 1).all()


def test_rank_is_the_place_of_the_target_in_the_evidences_order(
    measured: tuple[Path, BaselinesReport], known: Evidence
) -> None:
    table = pl.read_parquet(measured[0] / "rankings.parquet").filter(pl.col("system") == "recent_popularity")
    for sample_id, rank in table.sample(20, seed=0).select("sample_id", "rank").iter_rows():
        sample = known.store.sample(sample_id)
        taken = known.popularity(sample, sample.candidates, AGENT.popularity_window_days)
        mine = taken[sample.candidates.index(sample.target)]
        assert (taken > mine).sum() <= rank < (taken >= mine).sum()


def test_what_sasrec_has_learned_is_measured(measured: tuple[Path, BaselinesReport]) -> None:
    ndcg = measured[1].ndcg_at_10["test"]
    chance = float(ndcg_at_k(np.arange(4), 10).sum() / NUM_CANDIDATES)
    assert abs(ndcg["random"] - chance) < 0.15
    assert ndcg["sasrec"] > 0.8
    assert min(ndcg["fusion"], ndcg["lambdamart"]) > 0.7
    assert measured[1].fusion_weights["sasrec"] >= 0.5


def test_lists_are_those_of_the_agents_tools(fitted: Path, known: Evidence) -> None:
    """Ties and unknowns too: the ranker and the agent merge the same lists."""
    from recops.records import Task, label

    agent = AGENT.model_copy(
        update={"tools": ("rank_by_next_item", "rank_by_popularity", "rank_by_similarity", "get_similar_users")}
    )
    layout = stage_io(fitted, "baselines").layout
    toolbox = Toolbox.load(layout.artefact("validated_splits"), layout.artefact("sasrec_embeddings"), agent, seed=7)
    calls = {
        "sasrec": ("rank_by_next_item", {}),
        "text_similarity": ("rank_by_similarity", {}),
        "popularity": ("rank_by_popularity", {"window": "ever"}),
        "recent_popularity": ("rank_by_popularity", {"window": "recent"}),
        "similar_users": ("get_similar_users", {}),
    }
    lists = evidence_lists(known, AGENT, known.store.sample_ids("test")[:20], SINGLE_LISTS)
    for row, sample_id in enumerate(lists.sample_ids):
        sample = known.store.sample(int(sample_id))
        for column, name in enumerate(SINGLE_LISTS):
            answer = toolbox.call(Task(sample, sample.candidates, "rank"), *calls[name])
            names = [word for line in answer.splitlines() for word in line.partition(":")[2].split()]
            expected = [label(int(place)) for place in np.argsort(lists.ranks[row, column])]
            assert names == expected, (name, answer)


def test_same_seed_same_bytes(measured: tuple[Path, BaselinesReport], fitted: Path, tmp_path: Path) -> None:
    io = stage_io(fitted, "baselines")
    io.out = tmp_path
    assert run_baselines(io, CONFIG, seed=7, agent=AGENT) == measured[1]
    assert contents(tmp_path) == contents(measured[0])


def test_metrics_are_cut_where_an_agents_list_ends(measured: tuple[Path, BaselinesReport], known: Evidence) -> None:
    metrics = read_json(measured[0] / "metrics.json")["slices"]["test"]
    table = pl.read_parquet(measured[0] / "rankings.parquet")
    ranks = table.filter((pl.col("system") == "random") & (pl.col("slice") == "test"))["rank"].to_numpy()
    users = [known.store.sample(int(i)).user for i in known.store.sample_ids("test")]
    cut = np.where(ranks < AGENT.num_ranked, ranks, ABSENT)
    assert (cut != ranks).any()
    expected = metric_table(cut, users, draws=100, confidence=0.95, seed=sub_seed(7, "bootstrap"))
    assert metrics["systems"]["random"]["all"] == expected
    assert metrics["num_cold"] == 0
    assert set(metrics["systems"]["random"]) == {"all", "warm"}


def test_warm_and_cold_targets_are_measured_apart(fitted: Path, tmp_path: Path) -> None:
    io = stage_io(fitted, "baselines")
    io.out = tmp_path
    splits = io.input("validated_splits")
    samples = pl.read_parquet(splits / "samples.parquet")
    half = samples.with_columns(target_is_warm=pl.col("user") % 2 == 0)
    try:
        half.write_parquet(splits / "samples.parquet")
        run_baselines(io, CONFIG.model_copy(update={"systems": ("sasrec",)}), seed=7, agent=AGENT)
    finally:
        samples.write_parquet(splits / "samples.parquet")
    metrics = read_json(tmp_path / "metrics.json")["slices"]["test"]
    tables = metrics["systems"]["sasrec"]
    assert metrics["num_cold"] == metrics["num_samples"] // 2
    pooled = (tables["warm"]["mrr"]["mean"] + tables["cold"]["mrr"]["mean"]) / 2
    assert tables["all"]["mrr"]["mean"] == pytest.approx(pooled)


def test_merging_is_fitted_on_policy_train_only(fitted: Path, known: Evidence) -> None:
    train = evidence_lists(known, AGENT, known.store.sample_ids("policy_train"), ("random", *SINGLE_LISTS))
    test = evidence_lists(known, AGENT, known.store.sample_ids("test"), ("random", *SINGLE_LISTS))
    table = pl.read_parquet(stage_io(fitted, "baselines").out / "rankings.parquet")
    for name, merger in (("fusion", Fusion(train)), ("lambdamart", LambdaMart(train, sub_seed(7, "lambdamart")))):
        scores = merger.scores(test)
        target = np.take_along_axis(scores, test.target_places[:, None], axis=1)
        written = table.filter((pl.col("system") == name) & (pl.col("slice") == "test"))["rank"].to_numpy()
        assert ((scores > target).sum(axis=1) <= written).all()
        assert (written < (scores >= target).sum(axis=1)).all()


def test_a_slice_without_samples_is_named(fitted: Path, tmp_path: Path) -> None:
    io = stage_io(tmp_path, "baselines")
    rows = interactions().with_columns(slice=pl.col("slice").replace("valid", "test"))
    write_splits(io.layout.artefact("validated_splits"), rows)
    io.layout.artefact("sasrec_embeddings").parent.mkdir(parents=True)
    io.layout.artefact("sasrec_embeddings").symlink_to(stage_io(fitted, "sasrec_embeddings").out)
    with pytest.raises(InputError, match="slice valid: found no samples"):
        run_baselines(io, CONFIG.model_copy(update={"systems": ("random",)}), seed=7, agent=AGENT)
    assert not contents(io.out)


def test_a_system_named_twice_is_refused() -> None:
    with pytest.raises(ValueError, match="named twice"):
        BaselinesConfig(systems=("random", "random"), bootstrap_draws=100, confidence=0.9)
