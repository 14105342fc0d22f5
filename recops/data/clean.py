"""From raw rows to accepted rows: quarantine, exact repeats, k-core.

`dropped` counts what is left out of well-formed rows; `quarantine` holds rows that are wrong.
"""

import json
from dataclasses import dataclass
from typing import Any

import polars as pl

from recops.data.expectations import SuiteResult, validate_accepted, validate_rows
from recops.data.rules import Table, rule_of, with_interaction_facts, with_item_facts
from recops.errors import InputError

_EXAMPLE_CHARACTERS = 300
_QUARANTINE_SCHEMA = {"table": pl.String, "row": pl.Int64, "reason": pl.String, "content": pl.String}


@dataclass(frozen=True)
class Screened:
    """Accepted rows, rejected rows, and the results of every suite by name.

    `quarantine` has a row per rejected row, with its first reason; `fractions` is the rejected share of each table.
    """

    interactions: pl.DataFrame
    items: pl.DataFrame
    quarantine: pl.DataFrame
    num_exact_repeats: int
    fractions: dict[str, float]
    suites: dict[str, Any]


def screen(interactions: pl.DataFrame, items: pl.DataFrame, *, max_quarantine_fraction: float) -> Screened:
    """Return what passes every rule, exact repeats left out.

    A repeat is the same user, item and time as an earlier row; a whole row of items that occurs again is one too.
    Repeats are clean-up, not quarantine: published data has them, and nothing is wrong with the row that stays.

    Raises:
        InputError: more than `max_quarantine_fraction` of the rows of a table are rejected.
    """
    described = items.unique(subset=pl.exclude("row"), keep="first", maintain_order=True)
    item_rows = with_item_facts(described)
    item_result = validate_rows("items", item_rows)
    kept_items, bad_items = _split("items", described, item_result)
    interaction_rows = with_interaction_facts(interactions, kept_items["item_id"])
    interaction_result = validate_rows("interactions", interaction_rows)
    valid, bad_interactions = _split("interactions", interactions, interaction_result)
    quarantine = pl.concat([bad_interactions, bad_items])
    # Items first: a bad catalogue is the cause where its items' interactions are rejected too.
    fractions = {
        "items": len(bad_items) / len(described),
        "interactions": len(bad_interactions) / len(interactions),
    }
    _check_share(quarantine, fractions, max_quarantine_fraction)
    accepted = drop_exact_repeats(valid)
    suites = {"interactions_rows": interaction_result, "items_rows": item_result, **_accept(accepted, kept_items)}
    return Screened(
        interactions=accepted,
        items=kept_items,
        quarantine=quarantine,
        num_exact_repeats=len(valid) - len(accepted),
        fractions=fractions,
        suites={name: result.facts for name, result in suites.items()},
    )


def drop_exact_repeats(interactions: pl.DataFrame) -> pl.DataFrame:
    """Keep the first row, in the order of the file, of each (user, item, time)."""
    by_file = interactions.sort("row")
    return by_file.unique(subset=["user_id", "item_id", "timestamp"], keep="first", maintain_order=True)


def k_core(interactions: pl.DataFrame, *, min_per_user: int, min_per_item: int) -> pl.DataFrame:
    """Drop users and items with too few interactions until none is left that has too few.

    Raises:
        InputError: nothing is left.
    """
    core, before = interactions, -1
    while len(core) != before:
        before = len(core)
        core = core.filter(pl.len().over("user_id") >= min_per_user)
        core = core.filter(pl.len().over("item_id") >= min_per_item)
    if core.is_empty():
        raise InputError(
            "validated_splits.min_interactions_per_user, min_interactions_per_item",
            found=f"no interaction of {len(interactions)} left with at least {min_per_user} per user "
            f"and {min_per_item} per item",
            expected="a core of active users and items",
            next_step="Lower the two minima, or take a larger source.",
        )
    return core


def reason_counts(quarantine: pl.DataFrame) -> dict[str, dict[str, int]]:
    """Return table -> reason -> number of rows."""
    counts: dict[str, dict[str, int]] = {}
    for table, reason, count in quarantine.group_by("table", "reason").len().sort("table", "reason").iter_rows():
        counts.setdefault(table, {})[reason] = count
    return counts


def _split(table: Table, rows: pl.DataFrame, result: SuiteResult) -> tuple[pl.DataFrame, pl.DataFrame]:
    """Part accepted rows from rejected ones; a row that breaks several rules is rejected once, for the first."""
    reasons: dict[int, str] = {}
    for reason, row in result.failed:
        reasons.setdefault(row, reason)
    bad = rows.filter(pl.col("row").is_in(list(reasons)))
    rejected = [
        {
            "table": table,
            "row": content["row"],
            "reason": reasons[content["row"]],
            "content": json.dumps(content, ensure_ascii=False, sort_keys=True),
        }
        for content in bad.sort("row").iter_rows(named=True)
    ]
    return rows.filter(~pl.col("row").is_in(list(reasons))), pl.DataFrame(rejected, schema=_QUARANTINE_SCHEMA)


def _check_share(quarantine: pl.DataFrame, fractions: dict[str, float], limit: float) -> None:
    for table, fraction in fractions.items():
        if fraction <= limit:
            continue
        mine = quarantine.filter(pl.col("table") == table)
        counts = sorted(reason_counts(mine)[table].items(), key=lambda pair: (-pair[1], pair[0]))
        top, names = counts[0][0], ", ".join(f"{reason} {count}" for reason, count in counts[:3])
        example = mine.filter(pl.col("reason") == top).row(0, named=True)
        rule = rule_of(_table(table), top)
        raise InputError(
            f"raw_data, {table}",
            found=f"{fraction:.1%} of the rows rejected ({names}), for example row {example['row']} of the source: "
            f"{example['content'][:_EXAMPLE_CHARACTERS]}",
            expected=f"at most {limit:.1%} rejected; {top}: {rule.expected}",
            next_step=f"{rule.next_step} If they may be lost, raise validated_splits.max_quarantine_fraction.",
        )


def _table(name: str) -> Table:
    return "items" if name == "items" else "interactions"


def _accept(interactions: pl.DataFrame, items: pl.DataFrame) -> dict[str, SuiteResult]:
    """Run the suites once more, over what goes on: a rule that fails here was not enforced above, which is our bug."""
    facts = with_interaction_facts(interactions, items["item_id"])
    results = {
        "interactions_accepted": validate_accepted("interactions", facts),
        "items_accepted": validate_accepted("items", with_item_facts(items)),
    }
    for name, result in results.items():
        broken = [part for part in result.facts["expectations"] if not part["success"]]
        if broken:
            raise RuntimeError(f"{name}: accepted rows break {broken}")
    return results
