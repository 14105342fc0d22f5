"""Every row of a source against the rules of its table: what is accepted, what goes to the quarantine, and why.

Tables are scanned, never loaded: what is accepted is a plan, which `recops.data.clean` reads with numbers for ids.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.config.validated_splits import ValidatedSplitsConfig
from recops.data.expectations import Expectation, Seen, SuiteResult, run_suite
from recops.data.quarantine import check_share, rejected_rows
from recops.data.rules import Rule, Table, row_rules, with_interaction_facts, with_item_facts
from recops.seeds import sub_seed

_ITEM_COLUMNS = ("row", "item_id", "title", "price", "average_rating")


@dataclass(frozen=True)
class ScreenedTable:
    """One table after its rules.

    Attributes:
        accepted: rows that break no rejecting rule, with the columns that the rules read, unsorted.
        quarantine: a row per rejected row, with the first rule that it breaks (docs/artefacts.md).
        num_rows: rows of the table, exact repeats of whole items not counted.
        warnings: rows that break a rule and stay, per reason.
        suite: the rules as Great Expectations judged them, on all rows or on a sample.
    """

    accepted: pl.LazyFrame
    quarantine: pl.DataFrame
    num_rows: int
    warnings: dict[str, int]
    suite: SuiteResult

    @property
    def num_accepted(self) -> int:
        """How many rows were accepted."""
        return self.num_rows - len(self.quarantine)

    @property
    def fraction(self) -> float:
        """Share of the rows that were rejected."""
        return len(self.quarantine) / self.num_rows


def screen_items(items: pl.LazyFrame, config: ValidatedSplitsConfig, *, seed: int) -> ScreenedTable:
    """Judge the items; a whole row that occurs again is no second item, and only its first one counts.

    Raises:
        InputError: more than `max_quarantine_fraction` of the rows are rejected.
    """
    described = items.join(_repeated_rows(items).lazy(), on="row", how="anti")
    facts = with_item_facts(described.select(_ITEM_COLUMNS)).collect(engine="streaming").lazy()
    return _screen("items", described, facts, config, seed=seed)


def screen_interactions(
    interactions: pl.LazyFrame, listed: pl.DataFrame, config: ValidatedSplitsConfig, *, seed: int
) -> ScreenedTable:
    """Judge the interactions against the accepted items, numbered in `listed` (`item`, `item_id`).

    Raises:
        InputError: as `screen_items`.
    """
    return _screen("interactions", interactions, with_interaction_facts(interactions, listed), config, seed=seed)


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
    table: Table, source: pl.LazyFrame, facts: pl.LazyFrame, config: ValidatedSplitsConfig, *, seed: int
) -> ScreenedTable:
    rules = row_rules(table, latest_date=config.validation.latest_date)
    rejecting = [rule for rule in rules if rule.rejects]
    judged = facts.with_columns(_first_broken(rejecting).alias("reason"))
    rejected = judged.filter(pl.col("reason").is_not_null()).select("row", "reason").collect(engine="streaming")
    num_rows = int(source.select(pl.len()).collect(engine="streaming").item())
    quarantine = rejected_rows(table, source, rejected)
    check_share(table, quarantine, num_rows, rules=rules, limit=config.max_quarantine_fraction)
    return ScreenedTable(
        accepted=judged.filter(pl.col("reason").is_null()).drop("reason"),
        quarantine=quarantine,
        num_rows=num_rows,
        warnings=_count_warnings(judged, rules),
        suite=_cross_examine(table, *_sampled(table, source, judged, num_rows, config, seed), rules),
    )


def _first_broken(rules: Sequence[Rule]) -> pl.Expr:
    return pl.coalesce(*(pl.when(rule.broken).then(pl.lit(rule.reason)) for rule in rules))


def _count_warnings(judged: pl.LazyFrame, rules: Sequence[Rule]) -> dict[str, int]:
    counted = [rule.broken.sum().alias(rule.reason) for rule in rules if not rule.rejects]
    if not counted:
        return {}
    accepted = judged.filter(pl.col("reason").is_null())
    return {name: int(count) for name, count in accepted.select(counted).collect().row(0, named=True).items()}


def _sampled(
    table: Table, source: pl.LazyFrame, judged: pl.LazyFrame, num_rows: int, config: ValidatedSplitsConfig, seed: int
) -> tuple[pl.DataFrame, Seen]:
    """Draw from the rows as the source has them: what is judged has been joined, and comes in any order."""
    size, own = config.validation.max_sampled_rows, sub_seed(seed, "validation", table)
    positions, seen = sample_positions(num_rows, size=size, seed=own)
    rows = source.select("row").collect(engine="streaming")[positions]
    return judged.join(rows.lazy(), on="row", how="semi").collect(engine="streaming").sort("row"), seen


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
