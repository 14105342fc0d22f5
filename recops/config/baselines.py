"""Recipe section `baselines`: what a user would pick instead of an agent."""

from typing import Annotated, Literal

from pydantic import Field, field_validator

from recops.config.section import Section

EvidenceName = Literal["random", "popularity", "recent_popularity", "text_similarity", "similar_users", "sasrec"]
MergeName = Literal["fusion", "lambdamart"]
SystemName = EvidenceName | MergeName


class BaselinesConfig(Section):
    """Settings of the stage `baselines`.

    A system is one evidence alone, `fusion` (weighted reciprocal ranks of three) or `lambdamart` (a learned ranker over
    the ranks of all).
    """

    systems: Annotated[tuple[SystemName, ...], Field(min_length=1)]
    bootstrap_draws: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]

    @field_validator("systems")
    @classmethod
    def _no_system_twice(cls, systems: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(systems)) != len(systems):
            raise ValueError("a system is named twice")
        return systems
