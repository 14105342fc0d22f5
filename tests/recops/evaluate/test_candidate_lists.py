import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recops.evaluate import candidate_lists as module
from recops.evaluate.candidate_lists import candidate_items, score_slice
from recops.evaluate.scorers import scorers
from recops.records import Sample
from recops.retrieval.evidence import Evidence
from recops.retrieval.ties import ranks_by_score
from tests.recops.evaluate.baseline_settings import CONFIG, FULL_AGENT, evidence_of, lists_of
from tests.recops.retrieval.conftest import fitted
from tests.recops.retrieval.small_splits import NUM_ITEMS, interactions, stage_io, write_splits

__all__ = ["fitted"]


@pytest.fixture(scope="module")
def splits(fitted: Path) -> Path:
    return stage_io(fitted, "baselines").layout.artefact("validated_splits")


@pytest.fixture(scope="module")
def known(fitted: Path, splits: Path) -> Evidence:
    return evidence_of(fitted, splits)


def samples_of(evidence: Evidence, slice_name: str, *, count: int = 20) -> list[Sample]:
    return [evidence.store.sample(i) for i in evidence.store.sample_ids(slice_name).tolist()[:count]]  # type: ignore[arg-type]


def all_scores(evidence: Evidence, splits: Path, samples: list[Sample]) -> dict[str, np.ndarray]:
    systems = scorers(CONFIG.singles, evidence, splits, CONFIG, agent=FULL_AGENT, seed=7)
    return {name: scorer(samples) for name, scorer in systems.items()}


def test_scores_of_the_catalogue_are_those_of_the_evidence_behind_the_tools(known: Evidence, splits: Path) -> None:
    samples = samples_of(known, "test")
    scores = all_scores(known, splits, samples)
    items = list(range(1, NUM_ITEMS + 1))
    for row, sample in enumerate(samples):
        taken = known.similar_users(sample, items)
        expected = {
            "popularity": known.popularity(sample, items, None),
            "recent_popularity": known.popularity(sample, items, FULL_AGENT.popularity_window_days),
            "popularity_2_days": known.popularity(sample, items, 2),
            "text_similarity": known.text_similarity(sample, items),
            "similar_users": np.where(taken > 0, taken, np.nan),
            "sasrec": known.next_item(sample, items),
        }
        for name, values in expected.items():
            np.testing.assert_allclose(scores[name][row, 1:], values, rtol=1e-5, atol=1e-6, err_msg=name)


@pytest.mark.parametrize("slice_name", ["policy_train", "valid", "test"])
def test_no_score_and_no_feature_sees_the_target_or_anything_later(
    fitted: Path, known: Evidence, splits: Path, tmp_path: Path, slice_name: str
) -> None:
    """The target planted at and after the sample's time, with everyone; what was fitted, was fitted on `tool_fit`."""
    sample = dataclasses.replace(samples_of(known, slice_name)[11], sample_id=-1)
    later = pl.col("timestamp") >= sample.timestamp
    planted = interactions().with_columns(
        item=pl.when(later).then(pl.lit(sample.target)).otherwise("item").cast(pl.Int32),
        rating=pl.when(later).then(pl.lit(1.0)).otherwise("rating").cast(pl.Float32),
    )
    other_splits = write_splits(tmp_path, planted)
    other = evidence_of(fitted, other_splits)
    blind = dataclasses.replace(sample, target=0, target_is_warm=False)
    before, after = all_scores(known, splits, [sample]), all_scores(other, other_splits, [blind])
    for name, scores in before.items():
        np.testing.assert_array_equal(after[name], scores, err_msg=name)
    lists = lists_of(known, splits, [sample])
    seen = lists_of(other, other_splits, [dataclasses.replace(sample, target_is_warm=False)])
    np.testing.assert_array_equal(seen.answers.features, lists.answers.features)
    for name, ranks in lists.ranks.items():
        np.testing.assert_array_equal(seen.ranks[name], ranks, err_msg=name)


def test_rank_in_the_catalogue_is_the_place_among_items_that_were_not_taken(known: Evidence, splits: Path) -> None:
    samples = samples_of(known, "valid")
    systems = scorers(CONFIG.singles, known, splits, CONFIG, agent=FULL_AGENT, seed=7)
    found = score_slice(known, systems, samples, {}).catalogue_ranks
    for name, scorer in systems.items():
        for row, (sample, scores) in enumerate(zip(samples, scorer(samples), strict=True)):
            taken = {event.item for event in sample.history}
            others = [item for item in range(1, NUM_ITEMS + 1) if item not in taken and item != sample.target]
            worth = np.where(np.isnan(scores), -1e9, scores)
            mine = worth[sample.target]
            low, ties = int((worth[others] > mine).sum()), int((worth[others] == mine).sum())
            assert low <= found[name][row] <= low + ties, name


def test_ties_in_the_catalogue_are_broken_evenly(known: Evidence, splits: Path) -> None:
    samples = samples_of(known, "test", count=60)
    random = scorers(("random",), known, splits, CONFIG, agent=FULL_AGENT, seed=7)
    ranks = score_slice(known, random, samples, {}).catalogue_ranks["random"]
    num_others = np.array([NUM_ITEMS - 1 - len({event.item for event in sample.history}) for sample in samples])
    # Mean of 60 even draws from [0, 1]: standard error .037; four of them are the tolerance.
    assert (ranks / num_others).mean() == pytest.approx(0.5, abs=0.15)


def test_chunks_change_nothing(known: Evidence, splits: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    samples = samples_of(known, "test")
    systems = scorers(CONFIG.singles, known, splits, CONFIG, agent=FULL_AGENT, seed=7)
    items = {"candidates": candidate_items(samples)}
    whole = score_slice(known, systems, samples, items)
    monkeypatch.setattr(module, "_SCORES_PER_CHUNK", 3 * NUM_ITEMS)
    parts = score_slice(known, systems, samples, items)
    for name in CONFIG.singles:
        np.testing.assert_array_equal(parts.catalogue_ranks[name], whole.catalogue_ranks[name])
        np.testing.assert_allclose(
            parts.candidates["candidates"][name], whole.candidates["candidates"][name], rtol=1e-5
        )


def test_ranks_follow_scores_and_unknown_ones_come_last_in_seeded_order() -> None:
    scores = np.array([[0.5, np.nan, 2.0, 0.5, np.nan]])
    ties = np.array([[9, 1, 5, 2, 7]], dtype=np.uint64)
    assert ranks_by_score(scores, ties).tolist() == [[2, 3, 0, 1, 4]]


def test_a_list_that_is_a_tools_order_agrees_with_the_scores_behind_it(known: Evidence, splits: Path) -> None:
    lists = lists_of(known, splits, samples_of(known, "test"))
    for name in ("sasrec", "recent_popularity", "text_similarity"):
        for ranks, scores in zip(lists.ranks[name], lists.scores[name], strict=True):
            in_order = np.nan_to_num(scores, nan=-1e9)[np.argsort(ranks)]
            assert (np.diff(in_order) <= 1e-6).all()
