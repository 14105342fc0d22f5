"""Source `files`: any CSV or Parquet, read through the recipe's map of columns (docs/your_data.md)."""

from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from recops.config.raw_data import CsvConfig, InteractionFiles, ItemFiles
from recops.data import schema
from recops.data.tables import read_table
from recops.data.values import as_milliseconds, as_number, as_rating, as_text
from recops.errors import InputError

_WEIGHT = "\0weight"  # no column of a file is named so


class EventFilter:
    """Keeps the rows of the listed kinds of events, with their weights, and counts the others by kind in `left_out`.

    `schema` is that of the interactions: with a column `weight` where the kinds are listed with weights.
    """

    def __init__(self, column: str | None, kept: tuple[str, ...] | dict[str, float] | None) -> None:
        self._column, self._kept = column, kept or ()
        self._seen: set[str] = set()
        self.left_out: Counter[str] = Counter()
        self.schema = {**schema.INTERACTIONS, **(schema.WEIGHT if isinstance(kept, dict) else {})}

    def __call__(self, table: pl.DataFrame, path: Path) -> pl.DataFrame:
        """Return the rows of `table` that are kept; a row without a kind is left out as ''."""
        if self._column is None:
            return table
        kinds = as_text(table, self._column, path).fill_null("")
        for kind, count in kinds.value_counts(name="count").iter_rows():
            self._seen.add(kind)
            if kind not in self._kept:
                self.left_out[kind] += count
        kept = table.filter(kinds.is_in(list(self._kept)))
        if not isinstance(self._kept, dict):
            return kept
        weights = kinds.filter(kinds.is_in(list(self._kept))).replace_strict(self._kept, return_dtype=pl.Float32)
        return kept.with_columns(weights.alias(_WEIGHT))

    def check_all_seen(self) -> None:
        """Check that every listed kind occurred: one that never does is misspelt.

        Raises:
            InputError: a listed kind did not occur.
        """
        unseen = sorted(set(self._kept) - self._seen)
        if unseen:
            found = f"no row with {', '.join(unseen)}; the column has {', '.join(sorted(self._seen)[:20])}"
            raise InputError(
                "raw_data.source.interactions.events",
                found=found,
                expected="each listed kind in some row",
                next_step="Correct the list, or columns.event.",
            )


def read_interactions(
    path: Path, config: InteractionFiles, csv: CsvConfig | None, keep: EventFilter
) -> Iterator[pl.DataFrame]:
    """Give the interactions of a file in the schema of `raw_data`, part by part.

    Raises:
        InputError: the file, a column or a value cannot be read; the message names it.
    """
    columns = config.columns
    names = [name for name in (columns.user, columns.item, columns.time, columns.rating, columns.event) if name]
    for part in read_table(path, names, csv):
        table = keep(part, path)
        frame = pl.DataFrame(
            {
                "user_id": as_text(table, columns.user, path),
                "item_id": as_text(table, columns.item, path),
                "timestamp": as_milliseconds(table, columns.time, path, config.time_unit),
                "rating": as_rating(table, columns.rating, path, config.rating_range),
                "row": table["row"],
            }
        )
        if "weight" in keep.schema:
            frame = frame.with_columns(table[_WEIGHT].alias("weight"))
        yield schema.in_schema(frame, keep.schema)


def read_items(path: Path, config: ItemFiles, csv: CsvConfig | None) -> Iterator[pl.DataFrame]:
    """Give the items of a file in the schema of `raw_data`, part by part.

    Raises:
        InputError: as `read_interactions`.
    """
    columns = config.columns
    texts = {"item_id": columns.id, **columns.model_dump(include={"title", "category", "store", "description"})}
    names = [name for name in columns.model_dump().values() if name]
    for table in read_table(path, names, csv):
        frame = pl.DataFrame(
            {
                **{name: as_text(table, column, path) for name, column in texts.items()},
                "price": as_number(table, columns.price, path),
                "average_rating": as_rating(table, columns.average_rating, path, config.rating_range),
                "row": table["row"],
            }
        )
        yield schema.in_schema(frame, schema.ITEMS)
