from pathlib import Path

import numpy as np
import polars as pl
import pytest

from assets.checks import hard_expectations_hold
from recops.artifacts import read_json, write_json
from recops.data.candidates import Items, Moments, draw_from_pools
from recops.data.samples import SAMPLED_SLICES, SampleStore, frozen_sha256
from recops.errors import InputError
from recops.retrieval import hard_candidates as module
from recops.retrieval.evidence import Evidence
from recops.retrieval.hard_candidates import POOL_PER_CANDIDATE, HardFacts, write_hard_candidates
from recops.retrieval.sasrec import load_sasrec
from tests.recops.retrieval.small_splits import FRESH_ITEM, interactions, stage_io, write_splits

COUNT = 2


@pytest.fixture
def splits(tmp_path: Path) -> Path:
    """Splits whose recipe asks for hard candidates; one test target is cold."""
    rows = interactions()
    cold = (pl.col("user") == 3) & (pl.col("slice") == "test")
    rows = rows.with_columns(pl.when(cold).then(FRESH_ITEM).otherwise("item").cast(pl.Int32).alias("item"))
    folder = write_splits(tmp_path / "splits", rows)
    samples = pl.read_parquet(folder / "samples.parquet")
    samples.drop("candidates").write_parquet(folder / "samples.parquet")
    facts = {"negatives": "sasrec_hard", "num_candidates": COUNT}
    write_json(folder / "splits.json", {"fitted_slices": ["tool_fit"], "candidates": facts})
    return folder


def draw(fitted: Path, splits: Path, out: Path, *, seed: int = 7) -> HardFacts:
    out.mkdir(exist_ok=True)
    model = load_sasrec(stage_io(fitted, "sasrec_embeddings").layout.artefact("sasrec_embeddings"))
    facts = write_hard_candidates(out, splits, model, seed=seed)
    assert facts is not None
    return facts


def test_negatives_are_among_what_sasrec_ranks_highest(
    fitted: Path, evidence: Evidence, splits: Path, tmp_path: Path
) -> None:
    facts = draw(fitted, splits, tmp_path / "out")
    store = SampleStore.load(splits, tmp_path / "out")
    ids = np.concatenate([store.sample_ids(name) for name in SAMPLED_SLICES])
    everything = list(range(1, store.num_items + 1))
    for sample in map(store.sample, ids.tolist()):
        taken = {event.item for event in sample.history}
        assert sample.candidates.count(sample.target) == 1
        assert not taken & set(sample.candidates)
        scores = evidence.next_item(sample, everything)
        if sample.target_is_warm:
            others = [i for i in everything if i not in taken and i != sample.target and not np.isnan(scores[i - 1])]
            best = sorted(others, key=lambda item: -scores[item - 1])[: POOL_PER_CANDIDATE * COUNT]
            assert set(sample.candidates) - {sample.target} <= set(best)
    assert facts.num_samples == len(ids)
    assert facts.num_cold_targets == sum(not store.sample(int(i)).target_is_warm for i in ids) >= 1
    assert facts.num_without_pool == 0
    assert frozen_sha256(splits, tmp_path / "out") == facts.candidates_sha256


def test_the_same_seed_gives_the_same_bytes_and_another_seed_other_sets(
    fitted: Path, splits: Path, tmp_path: Path
) -> None:
    one, two = draw(fitted, splits, tmp_path / "one"), draw(fitted, splits, tmp_path / "two")
    other = draw(fitted, splits, tmp_path / "other", seed=8)
    assert one == two
    for name in ("hard_candidates.parquet", "hard_candidates.json"):
        assert (tmp_path / "one" / name).read_bytes() == (tmp_path / "two" / name).read_bytes()
    assert other.candidates_sha256 != one.candidates_sha256


def test_great_expectations_judges_the_sets(fitted: Path, splits: Path, tmp_path: Path) -> None:
    draw(fitted, splits, tmp_path / "out")
    suites = read_json(tmp_path / "out" / "hard_validation.json")["suites"]
    assert set(suites) == {"hard_candidates", "hard_histories"}
    assert all(suite["success"] and suite["rows_seen"] == suite["rows"] == 180 for suite in suites.values())
    assert hard_expectations_hold(tmp_path / "out")[0]


def test_a_set_that_breaks_what_is_expected_stops_the_stage(
    fitted: Path, splits: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def without_target(moments: Moments, pools: Items, count: int) -> Items:
        return draw_from_pools(moments, pools, count) % 2 + 1

    monkeypatch.setattr(module, "draw_from_pools", without_target)
    with pytest.raises(RuntimeError, match=r"hard_candidates: accepted data breaks .*target exactly once"):
        draw(fitted, splits, tmp_path / "out")


def test_other_recipes_have_nothing_to_expect(tmp_path: Path) -> None:
    assert hard_expectations_hold(tmp_path) == (True, {"candidates": "none of them hard"})


def test_the_target_stands_at_both_places(fitted: Path, splits: Path, tmp_path: Path) -> None:
    draw(fitted, splits, tmp_path / "out")
    drawn = pl.read_parquet(tmp_path / "out" / "hard_candidates.parquet")["candidates"].to_numpy()
    first = drawn[:, 0] == pl.read_parquet(splits / "samples.parquet")["target"].to_numpy()
    assert 0.3 < first.mean() < 0.7  # 180 samples: four standard errors of .037 around a half


def test_other_recipes_get_no_hard_candidates(fitted: Path, splits: Path, tmp_path: Path) -> None:
    facts = read_json(splits / "splits.json")
    write_json(splits / "splits.json", {**facts, "candidates": {"negatives": "uniform", "num_candidates": COUNT}})
    model = load_sasrec(stage_io(fitted, "sasrec_embeddings").layout.artefact("sasrec_embeddings"))
    assert write_hard_candidates(tmp_path, splits, model, seed=7) is None
    assert not (tmp_path / "hard_candidates.parquet").exists()


def test_a_store_without_its_hard_candidates_says_what_to_run(splits: Path, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Run the stage sasrec_embeddings again"):
        SampleStore.load(splits, tmp_path)
