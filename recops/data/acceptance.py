"""What is expected of the tables that go on, by Great Expectations: interactions, items, splits and candidates.

Sums over whole tables are computed by `recops.data.table_facts` and judged as frames of one row; types and ranges are
judged row by row, on a stated sample where a table is large.
"""

from collections.abc import Sequence
from typing import Any

import polars as pl

from recops.config.validated_splits import SplitConfig, TemporalConfig, ValidatedSplitsConfig
from recops.data.bounds import Bound, all_rows, between, judge_facts, surely
from recops.data.candidate_suites import judge_candidates
from recops.data.clean import CleanTables
from recops.data.expectations import Expectation, Seen, SuiteResult, run_suite
from recops.data.rules import EARLIEST_MILLISECONDS, LOWEST_RATING, milliseconds
from recops.data.samples import SLICE_CODES
from recops.data.screening import sample_positions
from recops.data.table_facts import interaction_facts, source_facts, split_facts
from recops.records import SliceName
from recops.seeds import sub_seed

MIN_TEST_SAMPLES = 100
"""With fewer, an interval of a metric is wider than what systems differ by."""


def judge_tables(
    clean: CleanTables,
    interactions: pl.DataFrame,
    samples: pl.DataFrame,
    *,
    slices: dict[SliceName, dict[str, int]],
    config: ValidatedSplitsConfig,
    seed: int,
) -> dict[str, SuiteResult]:
    """Run every suite over the tables that go on; return the results by name.

    Candidates that `sasrec_embeddings` draws are not there yet: that stage judges them.

    Raises:
        InputError: the source has too few users or items.
        RuntimeError: a table breaks what this stage is to guarantee.
    """
    latest = milliseconds(config.validation.latest_date)
    num_rows = clean.screened["interactions"].num_rows
    source = judge_facts("source", source_facts(clean), source_bounds(config), all_rows(num_rows))
    whole = interaction_facts(interactions, clean, latest=latest)
    suites = {
        "source": source,
        "interactions_whole": judge_facts(
            "interactions_whole", whole, interaction_bounds(config), all_rows(len(interactions))
        ),
        "interactions_accepted": _judge_interactions(interactions, config, seed),
        "items_accepted": _judge_items(clean, config, seed),
        "splits": _judge_splits(slices, config.split),
    }
    items_N, num_items = interactions["item"].to_numpy(), len(clean.items)
    for column in config.candidates.columns:
        sets = samples.select("target", "history_start", "history_end", pl.col(column).alias("candidates"))
        suites |= judge_candidates(column, sets, items_N=items_N, num_items=num_items, seed=seed)
    return suites


def source_bounds(config: ValidatedSplitsConfig) -> tuple[Bound, ...]:
    """Return what a source's tables must be as a whole."""
    limits = config.validation
    few = "Take a larger source, lower the k-core, or change validated_splits.validation in the recipe."
    return (
        Bound("num_users", limits.min_users, None, f"at least {limits.min_users} users", few),
        Bound("num_items", limits.min_items, None, f"at least {limits.min_items} items", few),
        Bound(
            "untitled_fraction",
            0,
            limits.max_untitled_fraction,
            f"at most {limits.max_untitled_fraction:.1%} of the items without a title",
            None,  # more of them stop the screening of the items
        ),
        Bound("num_time_units", 0, 1, "one unit of time in all rows", "Mend the source's times.", "warning"),
    )


def interaction_bounds(config: ValidatedSplitsConfig) -> tuple[Bound, ...]:
    """Return what must hold for the accepted interactions as a whole."""
    none = (
        "rows_without_id_or_time",
        "times_out_of_range",
        "ratings_out_of_range",
        "rows_of_unknown_items",
        "rows_of_unknown_users",
        "rows_out_of_order",
        "rows_of_an_older_slice",
        "repeated_rows",
    )
    per_user, per_item = config.min_interactions_per_user, config.min_interactions_per_item
    return (
        Bound("num_rows", 1, None, "at least one interaction", None),
        *(Bound(name, 0, 0, f"no {name.replace('_', ' ')}", None) for name in none),
        Bound("fewest_rows_of_a_user", per_user, None, f"at least {per_user} interactions of every user", None),
        Bound("fewest_rows_of_an_item", per_item, None, f"at least {per_item} interactions of every item", None),
    )


def _judge_interactions(interactions: pl.DataFrame, config: ValidatedSplitsConfig, seed: int) -> SuiteResult:
    names = ("user", "item", "timestamp", "rating", "slice")
    sample, seen = _sample("interactions_accepted", interactions.select(names), config, seed)
    latest = milliseconds(config.validation.latest_date)
    expectations = [
        *_types({"user": "int32", "item": "int32", "timestamp": "int64", "rating": "float32"}),
        *(_row("ExpectColumnValuesToNotBeNull", name, f"a {name} in every row") for name in names[:3]),
        between("timestamp", EARLIEST_MILLISECONDS, latest - 1, "times from 1995 to validation.latest_date"),
        between("rating", LOWEST_RATING, 5, "ratings from 0.5 to 5"),
        _row("ExpectColumnValuesToBeInSet", "slice", "one of the four slices", value_set=list(SLICE_CODES)),
    ]
    return _sure("interactions_accepted", sample.with_columns(pl.col("slice").cast(pl.String)), expectations, seen)


def _judge_items(clean: CleanTables, config: ValidatedSplitsConfig, seed: int) -> SuiteResult:
    titles = clean.item_facts.select("row", "title", "price", "average_rating", "has_title")
    table = clean.items.join(titles, on="row", how="left", maintain_order="left")
    sample, seen = _sample("items_accepted", table, config, seed)
    expectations = [
        *_types({"item": "int32", "item_id": "str", "title": "str", "price": "float32", "average_rating": "float32"}),
        _row("ExpectColumnValuesToBeUnique", "item_id", "each item_id once"),
        _row("ExpectColumnValuesToBeInSet", "has_title", "a visible title", value_set=[True]),
        between("price", 0, 1e7, "prices from 0 to ten million"),
        between("average_rating", 1, 5, "average ratings from 1 to 5"),
    ]
    return _sure("items_accepted", sample, expectations, seen)


def _judge_splits(slices: dict[SliceName, dict[str, int]], split: SplitConfig) -> SuiteResult:
    """Times of a leave-one-out split overlap: there each user's own order is judged, with the interactions."""
    frame = split_facts(slices)
    tested = frame.filter(pl.col("slice") == "test").select(pl.col("num_samples").alias("num_test_samples"))
    frame = frame.join(tested, how="cross")
    expectations = [
        between("num_interactions", 1, None, "interactions in every slice"),
        between("num_test_samples", MIN_TEST_SAMPLES, None, f"{MIN_TEST_SAMPLES} test samples or more", "warning"),
        between("num_samples", 1, None, "samples in every slice but tool_fit"),
    ]
    if isinstance(split, TemporalConfig):
        expectations.append(between("milliseconds_after_previous", 1, None, "every slice later than the one before"))
    return _sure("splits", frame, expectations, all_rows(len(frame)))


def _sure(name: str, frame: pl.DataFrame, expectations: Sequence[Expectation], seen: Seen) -> SuiteResult:
    return surely(name, run_suite(name, frame, expectations, seen))


def _sample(name: str, table: pl.DataFrame, config: ValidatedSplitsConfig, seed: int) -> tuple[pl.DataFrame, Seen]:
    size = config.validation.max_sampled_rows
    positions, seen = sample_positions(len(table), size=size, seed=sub_seed(seed, "validation", name))
    return table[positions], seen


def _types(types: dict[str, str]) -> list[Expectation]:
    return [_row("ExpectColumnValuesToBeOfType", name, f"{name}: {kind}", type_=kind) for name, kind in types.items()]


def _row(expectation: str, column: str, told: str, **arguments: Any) -> Expectation:
    return Expectation(expectation, {"column": column, **arguments}, "critical", told)
