"""What a report keeps of the samples and items that it measured, so that it can be read without the data behind it."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl

from recops.data.samples import SampleStore
from recops.evaluate.browser import item_category, item_title
from recops.evaluate.systems import Comparison
from recops.records import Sample

if TYPE_CHECKING:
    # For the checker alone: it loads torch, and whoever reads these tables needs none.
    from recops.retrieval.evidence import Evidence

SAMPLES, ITEMS = "samples.parquet", "items.parquet"
SHOWN_HISTORY = 10
"""Latest items of a history that a person is shown."""

_SAMPLE_SCHEMA: dict[str, Any] = {
    "sample_id": pl.Int32,
    "user": pl.Int32,
    "target": pl.Int32,
    "warm": pl.Boolean,
    "history_length": pl.Int32,
    "times_taken": pl.Int32,
    "kind": pl.String,
    "history": pl.List(pl.Int32),
}


def sample_facts(comparison: Comparison, evidence: "Evidence") -> pl.DataFrame:
    """Return one row per sample, in the order of the comparison.

    Columns: `sample_id`, `user`, `target`, `warm`, `history_length`, `times_taken` (how often anybody took the target
    strictly before the sample), `kind` (planted kind of the user, null where the data has none), `history` (its latest
    items, oldest first).
    """
    kinds = kind_by_user(evidence.store)
    samples = [evidence.store.sample(int(sample_id)) for sample_id in comparison.sample_ids]
    rows = [
        (
            sample.sample_id,
            sample.user,
            sample.target,
            sample.target_is_warm,
            len(sample.history),
            evidence.times_taken(sample, sample.target),
            kinds.get(sample.user),
            _latest(sample),
        )
        for sample in samples
    ]
    return pl.DataFrame(rows, schema=_SAMPLE_SCHEMA, orient="row")


def shown_items(comparison: Comparison, store: SampleStore) -> pl.DataFrame:
    """Return `item`, `item_id`, `title`, `category` of every item that a shown sample names, ascending.

    Titles and categories are as a page or a terminal may show them; an item without a title has its id there.
    """
    samples = [store.sample(int(sample_id)) for sample_id in comparison.sample_ids]
    items = sorted({item for sample in samples for item in (*sample.candidates, *_latest(sample))})
    columns = {
        "item": pl.Series(items, dtype=pl.Int32),
        "item_id": store.items["item_id"][[item - 1 for item in items]],
        "title": [item_title(store, item) for item in items],
        "category": [item_category(store, item) for item in items],
    }
    return pl.DataFrame(columns)


def write_facts(out: Path, facts: pl.DataFrame, items: pl.DataFrame) -> None:
    """Write both tables below `out`."""
    facts.write_parquet(out / SAMPLES)
    items.write_parquet(out / ITEMS)


def kind_by_user(store: SampleStore) -> dict[int, str]:
    """Return the planted kind of every user, where the data has a truth (the simulated store)."""
    return dict(enumerate(store.users["kind"].to_list())) if "kind" in store.users.columns else {}


def _latest(sample: Sample) -> list[int]:
    return [event.item for event in sample.history[-SHOWN_HISTORY:]]
