"""What holds for every sample of every protocol, on random interactions with ties, repeats and short histories."""

from itertools import pairwise

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import TypeAdapter

from recops.config.validated_splits import CandidatesConfig, SplitConfig, TemporalConfig
from recops.data.samples import SLICE_CODES
from recops.data.sampling import build_samples, taken_items, with_candidates
from recops.data.slices import FITTED_SLICES, with_slices
from tests.recops.data.mostly_accepted import mostly_accepted
from tests.recops.data.small_source import temporal

NUM_ITEMS = 25
USER_IDS, ITEM_IDS = (pl.Series([f"{kind}{number}" for number in range(30)]) for kind in "ui")
EVENTS = st.lists(st.tuples(st.integers(0, 6), st.integers(1, NUM_ITEMS), st.integers(0, 30)), min_size=20, max_size=80)
SPLITS: list[SplitConfig] = [
    TypeAdapter(SplitConfig).validate_python(content)
    for content in (
        temporal(0.5, 0.2, 0.2, 0.1),
        temporal(0.0, 0.8, 0.1, 0.1, fitted_on="training"),
        {"kind": "leave_one_out", "policy_train_per_user": 1, "fitted_on": "tool_fit"},
        {"kind": "leave_one_out", "policy_train_per_user": None, "fitted_on": "training"},
    )
]
CANDIDATES = [
    CandidatesConfig(num_candidates=5, negatives=kind, further_negatives=()) for kind in ("uniform", "popularity")
]
Event = tuple[int, int, int]


def tables(events: list[Event], split: SplitConfig, candidates: CandidatesConfig) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Interactions of (user, item, time), in the order of the file, and their samples."""
    schema = {"user": pl.Int32, "item": pl.Int32, "timestamp": pl.Int64}
    rows = pl.DataFrame(events, schema=schema, orient="row").sort("user", "timestamp", maintain_order=True)
    rows = with_slices(rows, split)
    taken = taken_items(rows, NUM_ITEMS)
    samples, _ = build_samples(rows, taken, split.fitted_on)
    ids = {"user_ids": USER_IDS, "item_ids": ITEM_IDS[:NUM_ITEMS]}
    return rows, with_candidates(samples, rows, taken, **ids, config=candidates, seed=7)


@pytest.mark.parametrize("split", SPLITS, ids=lambda split: f"{split.kind}-{split.fitted_on}")
def test_every_sample_keeps_the_rules(split: SplitConfig) -> None:
    with mostly_accepted() as accepted:  # but too few different times, or a user who took nearly everything

        @given(events=EVENTS, candidates=st.sampled_from(CANDIDATES))
        @settings(max_examples=25, deadline=None)
        def holds(events: list[Event], candidates: CandidatesConfig) -> None:
            rows, samples = accepted(lambda: tables(events, split, candidates))
            check_samples(rows, samples, split)

        holds()


def check_samples(rows: pl.DataFrame, samples: pl.DataFrame, split: SplitConfig) -> None:
    fitted = set(rows.filter(pl.col("slice").is_in(FITTED_SLICES[split.fitted_on]))["item"])
    for sample in samples.iter_rows(named=True):
        target = rows.row(sample["history_end"], named=True)
        history = rows[sample["history_start"] : sample["history_end"]]
        before = [row for row in rows.iter_rows() if row[0] == sample["user"]]
        assert (target["user"], target["item"], target["timestamp"]) == (
            sample["user"],
            sample["target"],
            sample["timestamp"],
        )
        assert list(history.iter_rows()) == before[: len(history)], "everything of the user, oldest first"
        assert before[len(history)] == tuple(target.values())
        assert len(history) > 0
        assert sample["candidates"].count(sample["target"]) == 1
        assert len(set(sample["candidates"])) == 5
        assert not set(sample["candidates"]) & set(history["item"])
        assert sample["target_is_warm"] == (sample["target"] in fitted)


def test_no_sample_of_a_slice_lies_after_one_of_a_later_slice() -> None:
    with mostly_accepted() as accepted:

        @given(events=EVENTS, split=st.sampled_from(SPLITS[:2]))
        @settings(max_examples=25, deadline=None)
        def holds(events: list[Event], split: TemporalConfig) -> None:
            for table in accepted(lambda: tables(events, split, CANDIDATES[0])):
                times = [table.filter(pl.col("slice") == name)["timestamp"].to_list() for name in SLICE_CODES]
                for older, newer in pairwise(filter(None, times)):
                    assert max(older) < min(newer)

        holds()
