"""Rejected rows: kept with a reason each, counted, and too many of them stop the stage."""

from collections.abc import Sequence

import polars as pl

from recops.data.rules import Rule, Table
from recops.errors import InputError

QUARANTINE_SCHEMA = pl.Schema({"table": pl.String, "row": pl.Int64, "reason": pl.String, "content": pl.String})

_EXAMPLE_CHARACTERS = 300


def only_rows(table: pl.LazyFrame, rows: pl.Series) -> pl.LazyFrame:
    """Return the rows of a table with these numbers: a filter on one column, before the others are unpacked."""
    return table.filter(pl.col("row").is_in(rows.implode()))


def rejected_rows(table: Table, source: pl.LazyFrame, rejected: pl.DataFrame) -> pl.DataFrame:
    """Return the quarantine of a table, in the order of its rows.

    Args:
        table: its name.
        source: the table as it was read.
        rejected: `row` and `reason` of every rejected row.
    """
    columns = sorted(source.collect_schema().names())
    return (
        only_rows(source, rejected["row"])
        .join(rejected.lazy(), on="row", how="inner")
        .select(
            pl.lit(table).alias("table"),
            "row",
            "reason",
            pl.struct(columns).struct.json_encode().alias("content"),
        )
        .collect(engine="streaming")
        .sort("row")
        .match_to_schema(QUARANTINE_SCHEMA)
    )


def reason_counts(quarantine: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Return table -> reason -> number of rows."""
    counts: dict[str, dict[str, int]] = {}
    for table, reason, count in quarantine.group_by("table", "reason").len().sort("table", "reason").iter_rows():
        counts.setdefault(table, {})[reason] = count
    return counts


def check_share(
    table: Table, quarantine: pl.DataFrame, num_rows: int, *, rules: Sequence[Rule], limit: float, setting: str
) -> None:
    """Check that at most `limit` of a table's rows are rejected.

    Args:
        table: its name.
        quarantine: its rejected rows that count for this limit.
        num_rows: of the whole table.
        rules: of the table.
        limit: a fraction of its rows.
        setting: the limit's name in a recipe.

    Raises:
        InputError: there are more; it names the reasons, an example and what to do about the most frequent one.
    """
    fraction = len(quarantine) / num_rows
    if fraction <= limit:
        return
    counts = sorted(reason_counts(quarantine)[table].items(), key=lambda pair: (-pair[1], pair[0]))
    top, names = counts[0][0], ", ".join(f"{reason} {count}" for reason, count in counts[:3])
    example = quarantine.filter(pl.col("reason") == top).row(0, named=True)
    rule = next(rule for rule in rules if rule.reason == top)
    raise InputError(
        f"raw_data, {table}",
        found=f"{fraction:.1%} of the rows rejected ({names}), for example row {example['row']} of the source: "
        f"{example['content'][:_EXAMPLE_CHARACTERS]}",
        expected=f"at most {limit:.1%} rejected; {top}: {rule.expected}",
        next_step=f"{rule.next_step} If they may be lost, raise validated_splits.{setting}.",
    )
