"""Every row of a source against the rules of its table: what is accepted, what goes to the quarantine, and why.

A table is scanned once as a whole, for the few columns that go on; rows to be shown are then read by themselves.
"""

from collections.abc import Sequence
from concurrent.futures import Executor, Future
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.config.validated_splits import ValidatedSplitsConfig
from recops.data import schema
from recops.data.expectations import Expectation, Seen, SuiteResult, run_suite
from recops.data.quarantine import check_share, only_rows, rejected_rows
from recops.data.rules import NO_TITLE, Rule, Table, row_rules, with_interaction_facts, with_item_facts
from recops.seeds import sub_seed

_ITEM_COLUMNS = ("row", "item_id", "title", "price", "average_rating")
_INTERACTION_COLUMNS = ("user_id", "item", "timestamp", "rating")


@dataclass(frozen=True)
class ScreenedTable:
    """What the rules say of one table.

    Attributes:
        quarantine: a row per rejected row, with the first rule that it breaks (docs/artefacts.md).
        num_rows: rows of the table, exact repeats of whole items not counted.
        warnings: rows that break a rule and stay, per reason.
        judging: the rules as Great Expectations judge them, on all rows or on a sample, beside what goes on here.
    """

    quarantine: pl.DataFrame
    num_rows: int
    warnings: dict[str, int]
    judging: Future[SuiteResult]

    @property
    def suite(self) -> SuiteResult:
        """What Great Expectations found, once they are done.

        Raises:
            RuntimeError: they judge a row in another way than Polars does.
        """
        return self.judging.result()

    @property
    def num_accepted(self) -> int:
        """How many rows were accepted."""
        return self.num_rows - len(self.quarantine)

    @property
    def fraction(self) -> float:
        """Share of the rows that were rejected."""
        return len(self.quarantine) / self.num_rows


def screen_items(
    items: pl.LazyFrame, config: ValidatedSplitsConfig, *, seed: int, beside: Executor
) -> tuple[ScreenedTable, pl.DataFrame]:
    """Judge the items; return what is told of them, and the accepted ones with the columns that rules read.

    A whole row that occurs again is no second item, and only its first one counts. Great Expectations run in `beside`.

    Raises:
        InputError: more than `max_untitled_fraction` of the items have no title, or more than
            `max_quarantine_fraction` of them are rejected for something else.
    """
    described = items.join(_repeated_rows(items).lazy(), on="row", how="anti")
    facts = with_item_facts(described.select(_ITEM_COLUMNS)).collect(engine="streaming").sort("row")
    return _screen("items", described, facts.lazy(), facts.columns, config, seed=seed, beside=beside)


def screen_interactions(
    interactions: pl.LazyFrame, listed: pl.DataFrame, config: ValidatedSplitsConfig, *, seed: int, beside: Executor
) -> tuple[ScreenedTable, pl.DataFrame]:
    """Judge the interactions against the accepted items, numbered in `listed` (`item`, `item_id`).

    Returns:
        What is told of them, and the accepted ones in the order of the source: `user_id`, `item`, `timestamp`,
        `rating`, and `weight` where the source has weights.

    Raises:
        InputError: more than `max_quarantine_fraction` of the rows are rejected.
    """
    facts = with_interaction_facts(interactions, listed)
    weight = [name for name in schema.WEIGHT if name in interactions.collect_schema()]
    return _screen(
        "interactions", interactions, facts, (*_INTERACTION_COLUMNS, *weight), config, seed=seed, beside=beside
    )


def sample_positions(num_rows: int, *, size: int, seed: int) -> tuple[NDArray[np.int64], Seen]:
    """Return the positions of at most `size` rows, ascending: all where there are no more, else an even draw."""
    if num_rows <= size:
        return np.arange(num_rows), Seen(num_rows, num_rows, None)
    drawn = np.random.default_rng(seed).choice(num_rows, size, replace=False, shuffle=False)
    return np.sort(drawn), Seen(num_rows, size, seed)


def _repeated_rows(items: pl.LazyFrame) -> pl.DataFrame:
    """Return `row` of every item row that equals an earlier one in everything else."""
    ids = items.group_by("item_id").len().filter(pl.col("len") > 1).select("item_id")
    again = items.join(ids, on="item_id", how="semi", nulls_equal=True).collect(engine="streaming").sort("row")
    return again.filter(~pl.struct(pl.exclude("row")).is_first_distinct()).select("row")


def _screen(
    table: Table,
    source: pl.LazyFrame,
    facts: pl.LazyFrame,
    columns: Sequence[str],
    config: ValidatedSplitsConfig,
    *,
    seed: int,
    beside: Executor,
) -> tuple[ScreenedTable, pl.DataFrame]:
    """Judge `facts`, the rows of `source` with the columns that rules read; give `columns` of the accepted ones."""
    rules = row_rules(table, latest_date=config.validation.latest_date)
    judged = facts.with_columns(_first_broken([rule for rule in rules if rule.rejects]).alias("reason"))
    whole = judged.select(*dict.fromkeys(("row", "reason", *columns))).collect(engine="streaming")
    quarantine = rejected_rows(table, source, whole.filter(pl.col("reason").is_not_null()).select("row", "reason"))
    _check_shares(table, quarantine, len(whole), rules, config)
    accepted = whole.select(columns).filter(whole["reason"].is_null())
    sample, seen = _sampled(table, judged, whole["row"], config, seed)
    judging = beside.submit(_cross_examine, table, sample, seen, rules)
    return ScreenedTable(quarantine, len(whole), _count_warnings(accepted, rules), judging), accepted


def _check_shares(
    table: Table, quarantine: pl.DataFrame, num_rows: int, rules: Sequence[Rule], config: ValidatedSplitsConfig
) -> None:
    """Items without a title have a limit of their own: a catalogue may lack some of them and be right otherwise."""
    untitled = quarantine["reason"] == NO_TITLE
    check_share(
        table,
        quarantine.filter(untitled),
        num_rows,
        rules=rules,
        limit=config.validation.max_untitled_fraction,
        setting="validation.max_untitled_fraction",
    )
    check_share(
        table,
        quarantine.filter(~untitled),
        num_rows,
        rules=rules,
        limit=config.max_quarantine_fraction,
        setting="max_quarantine_fraction",
    )


def _first_broken(rules: Sequence[Rule]) -> pl.Expr:
    return pl.coalesce(*(pl.when(rule.broken).then(pl.lit(rule.reason)) for rule in rules))


def _count_warnings(accepted: pl.DataFrame, rules: Sequence[Rule]) -> dict[str, int]:
    counted = [rule.broken.sum().alias(rule.reason) for rule in rules if not rule.rejects]
    return {name: int(count) for name, count in accepted.select(counted).row(0, named=True).items()} if counted else {}


def _sampled(
    table: Table, judged: pl.LazyFrame, rows: pl.Series, config: ValidatedSplitsConfig, seed: int
) -> tuple[pl.DataFrame, Seen]:
    size, own = config.validation.max_sampled_rows, sub_seed(seed, "validation", table)
    positions, seen = sample_positions(len(rows), size=size, seed=own)
    return only_rows(judged, rows[positions]).collect(engine="streaming").sort("row"), seen


def _cross_examine(table: Table, sample: pl.DataFrame, seen: Seen, rules: Sequence[Rule]) -> SuiteResult:
    """Let Great Expectations judge the sample and compare: it must reject exactly what Polars rejected."""
    expectations = [
        Expectation(rule.expectation, rule.arguments, "warning", rule.expected, rule.reason) for rule in rules
    ]
    result = run_suite(f"{table}_rows", sample.drop("reason"), expectations, seen)
    rejecting = {rule.reason for rule in rules if rule.rejects}
    told: dict[int, str] = {}
    for reason, row in result.failed:
        if reason in rejecting:
            told.setdefault(row, reason)
    ours = dict(sample.filter(pl.col("reason").is_not_null()).select("row", "reason").iter_rows())
    if told != ours:
        differing = sorted({*told.items()} ^ {*ours.items()})[:3]
        raise RuntimeError(f"{table}: Great Expectations and Polars judge rows differently: {differing}")
    return result
