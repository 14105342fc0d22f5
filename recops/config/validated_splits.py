"""Recipe section `validated_splits`: what is accepted, how time is cut, which candidates are frozen."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recops.config.section import Section

Fraction = Annotated[float, Field(gt=0, lt=1)]


class SlicesConfig(Section):
    """Share of the interactions in each time slice, oldest first; they sum to 1."""

    tool_fit: Fraction
    policy_train: Fraction
    valid: Fraction
    test: Fraction

    @model_validator(mode="after")
    def _sum_to_one(self) -> "SlicesConfig":
        total = self.tool_fit + self.policy_train + self.valid + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the four slices sum to {total:g}; expected 1")
        return self


class CandidatesConfig(Section):
    """Frozen candidate sets: the target and `num_candidates - 1` negatives outside the user's history.

    `negatives`: every item alike, or in proportion to how often it was taken.
    """

    num_candidates: Annotated[int, Field(ge=2, le=100)]
    negatives: Literal["uniform", "popularity"]


class ValidatedSplitsConfig(Section):
    """Settings of the stage `validated_splits`."""

    max_quarantine_fraction: Annotated[float, Field(ge=0, lt=1)]
    min_interactions_per_user: Annotated[int, Field(ge=1)]
    min_interactions_per_item: Annotated[int, Field(ge=1)]
    slices: SlicesConfig
    candidates: CandidatesConfig
