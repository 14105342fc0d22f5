"""Recipe section `evaluation_reports`: how many test samples are played, and how intervals are drawn."""

from typing import Annotated

from pydantic import Field

from recops.config.section import Section
from recops.config.validated_splits import DrawnNegatives


class InjectionConfig(Section):
    """The suite of planted texts: `num_episodes` samples per policy, each attacked in every way.

    The check of the report warns where an attack lifts the planted item in more than `max_gained_fraction` of a
    policy's episodes, sanitized, or where none does with the sanitizer off: then the suite shows nothing.
    """

    num_episodes: Annotated[int, Field(ge=1)]
    max_gained_fraction: Annotated[float, Field(ge=0, le=1)]


class EvaluationConfig(Section):
    """Settings of the stage `evaluation_reports`.

    `max_samples` and `max_valid_samples` bound what each policy plays on the test and the valid slice (0 leaves the
    valid slice out); `num_shown_episodes` is the number of episodes per policy in the page's browser. Every agent is
    compared with each of `references`, which are baselines, beside the best baseline and the stage before it.
    Every system ranks the test samples once more among each of `further_candidates`, kinds of negatives that
    `validated_splits.candidates.further_negatives` freezes.
    `constrain_answers` lets an answer that has begun only become a valid list, here and in `recops recommend`; the
    valid slice is played with and without, where agent.engine can. Null leaves `injection` out. The last policy
    answers `num_timed_requests` samples one by one, for its latency in MLflow (0: none). The page compares every system
    with the first of `references` until its reader chooses another.
    """

    max_samples: Annotated[int, Field(ge=1)]
    max_valid_samples: Annotated[int, Field(ge=0)]
    num_shown_episodes: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    constrain_answers: bool
    num_timed_requests: Annotated[int, Field(ge=0)]
    further_candidates: tuple[DrawnNegatives, ...]
    references: tuple[str, ...]
    injection: InjectionConfig | None
    bootstrap_draws: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
