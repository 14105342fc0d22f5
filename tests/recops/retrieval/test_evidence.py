import dataclasses
import shutil
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recops.data.samples import SampleStore
from recops.errors import InputError
from recops.records import Sample
from recops.retrieval import states
from recops.retrieval.embeddings import UserStates
from recops.retrieval.evidence import Evidence
from recops.retrieval.index import NeighbourIndex
from recops.retrieval.relations import MAX_TAKERS
from recops.retrieval.sasrec import SasRec, encode_histories, load_sasrec
from recops.retrieval.user_index import user_index
from tests.recops.retrieval.small_splits import (
    AGENT,
    DAY,
    FRESH_ITEM,
    NUM_ITEMS,
    interactions,
    stage_io,
    write_splits,
)

ALL_ITEMS = list(range(1, NUM_ITEMS + 1))


def every_score(evidence: Evidence, sample: Sample) -> dict[str, np.ndarray]:
    return {
        "next_item": evidence.next_item(sample, ALL_ITEMS),
        "text_similarity": evidence.text_similarity(sample, ALL_ITEMS),
        "popularity": evidence.popularity(sample, ALL_ITEMS, None),
        "recent_popularity": evidence.popularity(sample, ALL_ITEMS, 3),
        "similar_users": evidence.similar_users(sample, ALL_ITEMS),
        "taken_together": evidence.taken_together(sample, ALL_ITEMS),
    }


def loaded(fitted: Path, splits: Path, tools: tuple[str, ...] = AGENT.tools) -> Evidence:
    agent = AGENT.model_copy(update={"tools": tools})
    return Evidence.load(splits, stage_io(fitted, "sasrec_embeddings").out, agent, 7)


def evidence_splits(fitted: Path) -> Path:
    return stage_io(fitted, "sasrec_embeddings").layout.artefact("validated_splits")


@pytest.mark.parametrize("slice_name", ["policy_train", "valid", "test"])
def test_target_planted_where_it_must_not_be_read_changes_nothing(
    fitted: Path, evidence: Evidence, tmp_path: Path, slice_name: str
) -> None:
    sample = dataclasses.replace(evidence.store.sample(int(evidence.store.sample_ids(slice_name)[11])), sample_id=-1)  # type: ignore[arg-type]
    rows = interactions()
    later = (pl.col("timestamp") >= sample.timestamp).alias("later")
    assert rows.filter((pl.col("timestamp") == sample.timestamp) & (pl.col("user") != sample.user)).height, "same time"
    planted = rows.with_columns(
        item=pl.when(later).then(pl.lit(sample.target)).otherwise("item").cast(pl.Int32), rating=pl.lit(1.0, pl.Float32)
    )
    other = loaded(fitted, write_splits(tmp_path, planted))
    for name, scores in every_score(evidence, sample).items():
        np.testing.assert_array_equal(every_score(other, sample)[name], scores, err_msg=name)


def test_target_itself_changes_nothing(evidence: Evidence) -> None:
    sample = dataclasses.replace(evidence.store.sample(20), sample_id=-1)
    other = dataclasses.replace(sample, target=sample.target % NUM_ITEMS + 1, target_is_warm=False)
    for name, scores in every_score(evidence, sample).items():
        np.testing.assert_array_equal(every_score(evidence, other)[name], scores, err_msg=name)


def test_scores_do_not_depend_on_what_was_asked_before(fitted: Path, evidence: Evidence) -> None:
    store: SampleStore = evidence.store
    cold = loaded(fitted, evidence_splits(fitted))
    cold.prepare(store.sample_ids("test"))
    for sample_id in (150, 3, 90):
        sample = store.sample(sample_id)
        for name, scores in every_score(evidence, sample).items():
            np.testing.assert_array_equal(every_score(cold, sample)[name], scores, err_msg=name)


def test_a_sample_shares_its_batch_with_the_same_others_whoever_is_asked_first(
    fitted: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    batches: list[list[list[int]]] = []

    def recorded(model: SasRec, histories: list[list[int]], batch_size: int) -> np.ndarray:
        batches.append(histories)
        return encode_histories(model, histories, batch_size)

    monkeypatch.setattr(states, "encode_histories", recorded)
    monkeypatch.setattr(states, "_BLOCK", 16)
    for first in (33, 40):
        evidence = loaded(fitted, stage_io(fitted, "sasrec_embeddings").layout.artefact("validated_splits"))
        evidence.next_item(evidence.store.sample(first), [1])
        evidence.next_item(evidence.store.sample(36), [1])
    assert len(batches) == 2
    assert batches[0] == batches[1]
    assert len(batches[0]) == 16


def test_a_sample_outside_the_store_is_scored_by_its_own_history(evidence: Evidence) -> None:
    sample = dataclasses.replace(evidence.store.sample(5), sample_id=-1)
    shorter = dataclasses.replace(sample, history=sample.history[:2])
    assert not np.array_equal(evidence.next_item(shorter, [1, 2, 3]), evidence.next_item(sample, [1, 2, 3]))


def test_next_item_cannot_score_what_tool_fit_has_not_seen(evidence: Evidence) -> None:
    for sample in map(evidence.store.sample, range(36)):
        scores = evidence.next_item(sample, ALL_ITEMS)
        assert np.flatnonzero(np.isnan(scores)).tolist() == [FRESH_ITEM - 1]
        scores[[event.item - 1 for event in sample.history]] = np.nan  # never a candidate
        assert np.nanargmax(scores) + 1 == sample.target


def test_history_without_known_item_gives_no_collaborative_score(evidence: Evidence) -> None:
    sample = dataclasses.replace(evidence.store.sample(0), sample_id=-1, history=())
    assert np.isnan(evidence.next_item(sample, ALL_ITEMS)).all()
    assert np.isnan(evidence.similar_users(sample, ALL_ITEMS)).all()


def test_popularity_is_a_scan_strictly_before(evidence: Evidence) -> None:
    rows, sample = interactions(), evidence.store.sample(100)
    before = rows.filter(pl.col("timestamp") < sample.timestamp)
    ever = [before.filter(pl.col("item") == item).height for item in ALL_ITEMS]
    assert evidence.popularity(sample, ALL_ITEMS, None).tolist() == ever
    lately = before.filter(pl.col("timestamp") >= sample.timestamp - 2 * DAY)
    recent = [lately.filter(pl.col("item") == item).height for item in ALL_ITEMS]
    assert evidence.popularity(sample, ALL_ITEMS, 2).tolist() == recent
    assert recent != ever


def test_popularity_counts_what_events_weigh_and_the_tools_number_does_not(fitted: Path, tmp_path: Path) -> None:
    weight = pl.when(pl.col("item") % 2 == 0).then(0.5).otherwise(2.0).cast(pl.Float32)
    rows = interactions().with_columns(weight=weight)
    evidence = loaded(fitted, write_splits(tmp_path, rows))
    sample = evidence.store.sample(100)
    before = rows.filter(pl.col("timestamp") < sample.timestamp)
    of_items = [before.filter(pl.col("item") == item) for item in ALL_ITEMS]
    assert evidence.popularity(sample, ALL_ITEMS, None).tolist() == [one["weight"].sum() for one in of_items]
    assert [evidence.times_taken(sample, item) for item in ALL_ITEMS] == [one.height for one in of_items]


def test_similar_users_are_a_weighted_scan_without_the_user(
    fitted: Path, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recops.retrieval.states.NUM_SIMILAR_USERS", 5)
    sample = dataclasses.replace(evidence.store.sample(39), sample_id=-1)
    assert sample.slice == "policy_train", "its history is all of tool_fit: the user's own state is the nearest"
    table = pl.read_parquet(stage_io(fitted, "sasrec_embeddings").out / "user_embeddings.parquet")
    vectors = np.stack(table["embedding"].to_list()).astype(np.float32)
    model = load_sasrec(stage_io(fitted, "sasrec_embeddings").out)
    state = encode_histories(model, [[event.item for event in sample.history]], 1)[0] - vectors.mean(axis=0)
    centred = vectors - vectors.mean(axis=0)
    cosines = centred @ state / np.linalg.norm(centred, axis=1) / np.linalg.norm(state)
    cosines[sample.user] = -2
    near = np.argsort(-cosines)[:5]
    rows = interactions().filter(pl.col("timestamp") < sample.timestamp)
    expected = np.zeros(NUM_ITEMS)
    for user in near:
        for item in rows.filter(pl.col("user") == int(user))["item"]:
            expected[item - 1] += max(float(cosines[user]), 0.0)
    np.testing.assert_allclose(evidence.similar_users(sample, ALL_ITEMS), expected, rtol=1e-4, atol=1e-5)


def plainly_together(evidence: Evidence, sample: Sample, takers: int) -> np.ndarray:
    """The cosine by loops over everything that the latest takers of each item took near it, before the sample."""
    store = evidence.store
    before = store.timestamp < sample.timestamp
    times = np.bincount(store.item[before], minlength=NUM_ITEMS + 1)
    weights = np.zeros(NUM_ITEMS + 1)
    for age, event in enumerate(reversed(sample.history[-AGENT.history_length :])):
        rows = np.flatnonzero(before & (store.item == event.item))
        latest = rows[np.argsort(store.timestamp[rows], kind="stable")][-takers:]
        for row in latest:
            for other in range(max(0, row - 3), min(len(before), row + 4)):
                if store.user[other] == store.user[row] and before[other] and store.item[other] != event.item:
                    of_all = times[event.item] / len(latest)
                    weights[store.item[other]] += 0.9**age * of_all / abs(other - row) / np.sqrt(times[event.item])
    cosines = weights / np.sqrt(np.maximum(1, times))
    return np.where(cosines > 0, cosines, np.nan)[1:]


@pytest.mark.parametrize("takers", [MAX_TAKERS, 2])
def test_taken_together_is_a_cosine_of_what_stood_near_the_history(
    takers: int, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    for module in ("relations", "evidence"):
        monkeypatch.setattr(f"recops.retrieval.{module}.MAX_TAKERS", takers)
    for sample in (evidence.store.sample(number) for number in (39, 100, 140)):
        scores = evidence.taken_together(sample, ALL_ITEMS)
        np.testing.assert_allclose(scores, plainly_together(evidence, sample, takers))
        assert np.isfinite(scores).any()
        reversed_twice = [*ALL_ITEMS[::-1], *ALL_ITEMS]
        np.testing.assert_array_equal(evidence.taken_together(sample, reversed_twice), [*scores[::-1], *scores])


def counted_indexes(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    built: list[int] = []

    def build(users: UserStates) -> NeighbourIndex:
        time.sleep(0.05)  # so that threads which do not wait for each other would all build one
        built.append(len(users.users))
        return user_index(users)

    monkeypatch.setattr(states, "user_index", build)
    return built


def test_no_index_of_users_is_built_for_a_suite_that_asks_for_none(
    fitted: Path, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = counted_indexes(monkeypatch)
    ids = evidence.store.sample_ids("test")
    lean = loaded(fitted, evidence_splits(fitted), tools=("rank_by_next_item", "rank_by_popularity"))
    lean.prepare(ids)
    sample = lean.store.sample(int(ids[0]))
    np.testing.assert_array_equal(lean.next_item(sample, ALL_ITEMS), evidence.next_item(sample, ALL_ITEMS))
    assert built == []
    np.testing.assert_array_equal(lean.similar_users(sample, ALL_ITEMS), evidence.similar_users(sample, ALL_ITEMS))
    assert len(built) == 1, "asked for all the same, it is there"


def test_what_a_suite_asks_for_is_prepared(fitted: Path, evidence: Evidence, monkeypatch: pytest.MonkeyPatch) -> None:
    built = counted_indexes(monkeypatch)
    asking = loaded(fitted, evidence_splits(fitted), tools=("get_similar_users",))
    assert built == []
    asking.prepare(evidence.store.sample_ids("test"))
    assert len(built) == 1


def test_threads_that_ask_at_once_share_one_index_of_users(
    fitted: Path, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    built = counted_indexes(monkeypatch)
    fresh = loaded(fitted, evidence_splits(fitted))
    samples = [fresh.store.sample(sample_id) for sample_id in (150, 3, 90, 20) * 4]
    with ThreadPoolExecutor(8) as pool:
        found = list(pool.map(lambda sample: fresh.similar_users(sample, ALL_ITEMS), samples))
    assert len(built) == 1
    for sample, scores in zip(samples, found, strict=True):
        np.testing.assert_array_equal(scores, evidence.similar_users(sample, ALL_ITEMS))


def test_order_is_by_score_with_unknown_apart(evidence: Evidence) -> None:
    scores = np.array([0.5, np.nan, 2.0, -3.0, np.nan])
    ranked, unknown = evidence.order(scores, evidence.store.sample(0), [4, 5, 6, 7, 8], "p")
    assert ranked == [2, 0, 3]
    assert sorted(unknown) == [1, 4]


def test_ties_and_unknown_do_not_follow_the_list(evidence: Evidence) -> None:
    sample, items = evidence.store.sample(3), [4, 9, 1, 7, 12, 2]
    for scores in (np.zeros(6), np.full(6, np.nan)):
        ranked, unknown = evidence.order(scores, sample, items, "p")
        other_ranked, other_unknown = evidence.order(scores, sample, items[::-1], "p")
        other = [items[::-1][place] for place in other_ranked + other_unknown]
        assert [items[place] for place in ranked + unknown] == other


def test_ties_differ_between_samples_and_purposes_and_favour_no_place(evidence: Evidence) -> None:
    items = [4, 9, 1, 7]
    orders = [
        tuple(evidence.order(np.zeros(4), evidence.store.sample(number), items, purpose)[0])
        for number in range(150)
        for purpose in ("p", "q")
    ]
    firsts = np.bincount([order[0] for order in orders], minlength=4)
    assert len(set(orders)) == 24
    assert firsts.min() > 45, "expected 75 of 300 each; 45 is four standard errors below"
    assert any(orders[n] != orders[n + 1] for n in range(0, 300, 2))


def test_artefacts_of_different_data_are_refused(fitted: Path, tmp_path: Path) -> None:
    splits = write_splits(tmp_path)
    items = pl.read_parquet(splits / "items.parquet")
    items.head(NUM_ITEMS - 1).write_parquet(splits / "items.parquet")
    with pytest.raises(InputError, match=f"found {NUM_ITEMS} items; expected {NUM_ITEMS - 1}"):
        loaded(fitted, splits)


def test_embeddings_of_another_catalogue_of_the_same_size_are_refused(fitted: Path, tmp_path: Path) -> None:
    splits = write_splits(tmp_path)
    items = pl.read_parquet(splits / "items.parquet")
    items.with_columns(item_id=pl.col("item_id") + "x").write_parquet(splits / "items.parquet")
    with pytest.raises(InputError, match=r"sasrec_embeddings: found embeddings of catalogue .* the items of "):
        loaded(fitted, splits)


@pytest.mark.parametrize("name", ["user_embeddings.parquet", "search.json"])
def test_missing_states_of_users_are_named(fitted: Path, tmp_path: Path, name: str) -> None:
    folder = shutil.copytree(stage_io(fitted, "sasrec_embeddings").out, tmp_path / "sasrec")
    (folder / name).unlink()
    with pytest.raises(InputError, match=f"{name}: found no file"):
        Evidence.load(write_splits(tmp_path / "splits"), folder, AGENT, 7)
