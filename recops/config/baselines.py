"""Recipe section `baselines`: what a user would pick instead of an agent."""

from typing import Annotated, Literal

from pydantic import Field

from recops.config.section import Section

BaselineName = Literal["random", "popularity", "recent_popularity", "text_similarity", "sasrec"]


class BaselinesConfig(Section):
    """Settings of the stage `baselines`."""

    systems: Annotated[tuple[BaselineName, ...], Field(min_length=1)]
