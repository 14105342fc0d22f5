"""Recipe section `validated_splits`: what is accepted, how it is split, which candidates are frozen."""

from datetime import date
from typing import Annotated, Literal

from pydantic import BeforeValidator, Field, field_validator, model_validator

from recops.config.section import Section

MAX_CANDIDATES = 100


def _quoted(day: object) -> object:
    """DVC hashes a recipe as JSON, which knows no dates: one that YAML has read would fail after the stage."""
    if isinstance(day, date):
        raise ValueError(f'{day} without quotation marks; expected "{day}"')
    return day


Day = Annotated[date, BeforeValidator(_quoted)]
Share = Annotated[float, Field(ge=0, lt=1)]
FittedOn = Literal["tool_fit", "training"]
"""What SASRec and text statistics see: `tool_fit` alone, or all of training (`tool_fit` and `policy_train`).

The second is the naive protocol of published systems: on a training sample, the tools have then seen the target.
"""


class TemporalConfig(Section):
    """Time cut at dates that hold for everyone: the share of the interactions in each slice, oldest first.

    8:1:1 without a slice for the tools alone is `tool_fit: 0.0, policy_train: 0.8, ...`, and can only be naive.
    """

    kind: Literal["temporal"]
    tool_fit: Share
    policy_train: Share
    valid: Share
    test: Share
    fitted_on: FittedOn

    @model_validator(mode="after")
    def _four_slices(self) -> "TemporalConfig":
        total = self.tool_fit + self.policy_train + self.valid + self.test
        if abs(total - 1) > 1e-9:
            raise ValueError(f"the four slices sum to {total:g}; expected 1")
        if min(self.policy_train, self.valid, self.test) == 0:
            raise ValueError("policy_train, valid and test each need a share above 0")
        if self.tool_fit == 0 and self.fitted_on == "tool_fit":
            raise ValueError("tool_fit is 0, so that nothing is left to fit on; expected fitted_on: training")
        return self


class LeaveOneOutConfig(Section):
    """Each user's last interaction is `test`, the one before `valid`; the rest trains.

    Of the rest, each user's latest `policy_train_per_user` (null: all but the first, which has no history) are
    `policy_train`, and what is older is `tool_fit`.
    """

    kind: Literal["leave_one_out"]
    policy_train_per_user: Annotated[int, Field(ge=1)] | None
    fitted_on: FittedOn

    @model_validator(mode="after")
    def _something_to_fit_on(self) -> "LeaveOneOutConfig":
        if self.policy_train_per_user is None and self.fitted_on == "tool_fit":
            raise ValueError(
                "policy_train_per_user: null leaves tool_fit one interaction per user, which is no sequence; "
                "expected fitted_on: training"
            )
        return self


SplitConfig = Annotated[TemporalConfig | LeaveOneOutConfig, Field(discriminator="kind")]

DrawnNegatives = Literal["uniform", "popularity"]
Negatives = DrawnNegatives | Literal["sasrec_hard"]


class CandidatesConfig(Section):
    """Frozen candidate sets: the target and `num_candidates - 1` negatives outside the user's history.

    `negatives`: every item alike, in proportion to how often it was taken, or hard ones: what SASRec ranks highest. The
    agent is trained and measured on these; `further_negatives` freezes more sets for the same samples, on which the
    baselines are measured too.
    """

    num_candidates: Annotated[int, Field(ge=2)]
    negatives: Negatives
    further_negatives: tuple[DrawnNegatives, ...]

    @property
    def columns(self) -> dict[str, DrawnNegatives]:
        """Column of `samples.parquet` -> kind of its negatives; the set of the agent first, unless it is a hard one."""
        own: dict[str, DrawnNegatives] = {} if self.negatives == "sasrec_hard" else {"candidates": self.negatives}
        return {**own, **{f"candidates_{kind}": kind for kind in self.further_negatives}}

    @model_validator(mode="after")
    def _no_set_twice(self) -> "CandidatesConfig":
        kinds = (self.negatives, *self.further_negatives)
        if len(set(kinds)) != len(kinds):
            raise ValueError("a kind of negatives is named twice")
        return self

    @field_validator("num_candidates", mode="before")
    @classmethod
    def _closed_set(cls, value: object) -> object:
        if value == "full" or (isinstance(value, int) and value > MAX_CANDIDATES):
            raise ValueError(
                f"an agent ranks a closed set of at most {MAX_CANDIDATES}, each named in its answer, never the whole "
                "catalogue; the stage baselines ranks that for the systems that can"
            )
        return value


class WindowConfig(Section):
    """Days (UTC, both included) outside of which interactions are left out, before the k-core."""

    first_day: Day
    last_day: Day

    @model_validator(mode="after")
    def _in_order(self) -> "WindowConfig":
        if self.first_day > self.last_day:
            raise ValueError(f"first_day {self.first_day} is after last_day {self.last_day}")
        return self


class ValidationConfig(Section):
    """What the data must be for a person to trust it.

    Attributes:
        latest_date: times from this day on (UTC) lie in the future. It stands here, for "now" would accept other rows
            tomorrow, from the same bytes.
        min_users, min_items: after the k-core.
        max_untitled_fraction: of the items; they go to the quarantine, and count for no other limit.
        max_sampled_rows: tables with more rows are judged by Great Expectations on a seeded sample of so many.
    """

    latest_date: Day
    min_users: Annotated[int, Field(ge=1)]
    min_items: Annotated[int, Field(ge=2)]
    max_untitled_fraction: Annotated[float, Field(ge=0, le=1)]
    max_sampled_rows: Annotated[int, Field(ge=10)]


class ValidatedSplitsConfig(Section):
    """Settings of the stage `validated_splits`.

    `max_quarantine_fraction` holds for each table; items without a title have `validation.max_untitled_fraction`.
    """

    max_quarantine_fraction: Annotated[float, Field(ge=0, lt=1)]
    validation: ValidationConfig
    window: WindowConfig | None
    min_interactions_per_user: Annotated[int, Field(ge=1)]
    min_interactions_per_item: Annotated[int, Field(ge=1)]
    split: SplitConfig
    candidates: CandidatesConfig
