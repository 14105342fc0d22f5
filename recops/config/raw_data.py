"""Recipe section `raw_data`: where interactions and items come from."""

from pathlib import Path
from typing import Annotated, Literal

from pydantic import Field

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


SourceConfig = Annotated[SimulatedStoreConfig | AmazonReviews2023Config, Field(discriminator="kind")]


class RawDataConfig(Section):
    """Settings of the stage `raw_data`."""

    source: SourceConfig
