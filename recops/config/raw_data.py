"""Recipe section `raw_data`: where interactions and items come from."""

import codecs
from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field, model_validator

from recops.config.section import Section


class SimulatedStoreConfig(Section):
    """A seeded store whose users have planted kinds.

    `num_users`, `num_items` and `num_days` are those of its first days; `weeks` more follow, each with new rows, users
    and items, and without a change of what was there.
    """

    kind: Literal["simulated_store"]
    num_users: Annotated[int, Field(ge=10)]
    num_items: Annotated[int, Field(ge=50)]
    num_days: Annotated[int, Field(ge=30)]
    interactions_per_user: Annotated[float, Field(ge=3)]
    weeks: Annotated[int, Field(ge=0)]


FileName = Annotated[str, Field(min_length=1, pattern=r"^[^/]")]
FileNames = FileName | Annotated[tuple[FileName, ...], Field(min_length=1)]
"""A file of the source's folder, a pattern such as `*.jsonl.gz`, or a list of them, read in this order."""


class AmazonReviews2023Config(Section):
    """The published JSON-lines files, plain, .gz or .zst. `${NAME}` in `folder` is read from the environment."""

    kind: Literal["amazon_reviews_2023"]
    folder: Path
    reviews: FileNames
    meta: FileNames


class MovieLensConfig(Section):
    """The files of a MovieLens archive, unpacked: ratings.dat and movies.dat (ml-1m), or ratings.csv and movies.csv."""

    kind: Literal["movielens"]
    folder: Path


ColumnName = Annotated[str, Field(min_length=1)]
RatingRange = tuple[float, float]


class CsvConfig(Section):
    """How CSV files are written; `encoding` as Python names it, such as utf-8, latin-1 or cp1252."""

    delimiter: Annotated[str, Field(min_length=1, max_length=1)]
    encoding: str

    @model_validator(mode="after")
    def _known_encoding(self) -> "CsvConfig":
        try:
            codecs.lookup(self.encoding)
        except LookupError as error:
            raise ValueError(str(error)) from error
        if b"\n,".decode(self.encoding, errors="replace") != "\n,":
            raise ValueError(f"{self.encoding} has no line ends of one byte; convert the files: iconv -t UTF-8")
        return self


class InteractionColumns(Section):
    """Which column of a file is what."""

    user: ColumnName
    item: ColumnName
    time: ColumnName
    rating: ColumnName | None
    event: ColumnName | None


class ItemColumns(Section):
    """Which column of a file is what; null where the shop does not have it."""

    id: ColumnName
    title: ColumnName
    category: ColumnName | None
    store: ColumnName | None
    price: ColumnName | None
    average_rating: ColumnName | None
    description: ColumnName | None


EventWeight = Annotated[float, Field(gt=0, le=1000, allow_inf_nan=False)]
EventKinds = Annotated[tuple[str, ...], Field(min_length=1)] | Annotated[dict[str, EventWeight], Field(min_length=1)]


class InteractionFiles(Section):
    """Files of interactions.

    `time_unit` is what a number counts since 1970, or iso: text such as 2024-05-31T12:00:00Z, or a column of times.
    `rating_range` are the lowest and highest rating of the shop, mapped onto 1 and 5. `events` are the kinds of events
    that are interactions, each with what it counts where items are ordered by popularity (a list: each counts 1); rows
    of other kinds are left out and counted.
    """

    files: FileNames
    columns: InteractionColumns
    time_unit: Literal["s", "ms", "us", "ns", "iso"]
    rating_range: RatingRange | None
    events: EventKinds | None

    @model_validator(mode="after")
    def _agree(self) -> "InteractionFiles":
        _check_pair("rating", self.columns.rating, "rating_range", self.rating_range)
        _check_pair("event", self.columns.event, "events", self.events)
        _check_range(self.rating_range)
        return self


class ItemFiles(Section):
    """Files of items; `rating_range` is that of the average rating."""

    files: FileNames
    columns: ItemColumns
    rating_range: RatingRange | None

    @model_validator(mode="after")
    def _agree(self) -> "ItemFiles":
        _check_pair("average_rating", self.columns.average_rating, "rating_range", self.rating_range)
        _check_range(self.rating_range)
        return self


class FilesConfig(Section):
    """CSV (plain, .gz or .zst) or Parquet files, and a map of their columns; `csv` is null where all are Parquet."""

    kind: Literal["files"]
    folder: Path
    csv: CsvConfig | None
    interactions: InteractionFiles
    items: ItemFiles


def _check_pair(column: str, name: str | None, setting: str, value: object) -> None:
    if (name is None) != (value is None):
        raise ValueError(f"columns.{column} and {setting} belong together: give both, or null for both")


def _check_range(limits: RatingRange | None) -> None:
    if limits is not None and limits[0] >= limits[1]:
        raise ValueError(f"rating_range: the lowest rating is {limits[0]:g}, the highest {limits[1]:g}")


SourceConfig = Annotated[
    SimulatedStoreConfig | AmazonReviews2023Config | MovieLensConfig | FilesConfig, Field(discriminator="kind")
]


class RawDataConfig(Section):
    """Settings of the stage `raw_data`."""

    source: SourceConfig
