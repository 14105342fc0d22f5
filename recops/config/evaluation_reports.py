"""Recipe section `evaluation_reports`: how many test samples are played, and how intervals are drawn."""

from typing import Annotated, Literal

from pydantic import Field

from recops.config.endpoint import EndpointConfig
from recops.config.section import RECIPE_NAME_PATTERN, Section
from recops.config.validated_splits import DrawnNegatives


class InjectionConfig(Section):
    """The suite of planted texts: `num_episodes` samples per policy, each attacked in every way.

    The check of the report warns where an attack lifts the planted item in more than `max_gained_fraction` of a
    policy's episodes, sanitized, or where none does with the sanitizer off: then the suite shows nothing.
    """

    num_episodes: Annotated[int, Field(ge=1)]
    max_gained_fraction: Annotated[float, Field(ge=0, le=1)]


class FrozenFolderConfig(Section):
    """A model in a local folder, as the hub has them: safetensors, tokenizer and chat template; may hold variables."""

    kind: Literal["folder"]
    name: Annotated[str, Field(pattern=RECIPE_NAME_PATTERN)]
    folder: str


class FrozenEndpointConfig(Section):
    """A model behind an endpoint. It cannot be held to valid lists: its answers are free, whatever the others' are."""

    kind: Literal["endpoint"]
    name: Annotated[str, Field(pattern=RECIPE_NAME_PATTERN)]
    server: EndpointConfig


FrozenModelConfig = Annotated[FrozenFolderConfig | FrozenEndpointConfig, Field(discriminator="kind")]


class EvaluationConfig(Section):
    """Settings of the stage `evaluation_reports`.

    `max_samples` and `max_valid_samples` bound what each policy plays on the test and the valid slice (0 leaves the
    valid slice out); `num_shown_episodes` is the number of episodes per policy in the page's browser. Every agent is
    compared with each of `references`, which are baselines, beside the best baseline and the stage before it.
    Every system ranks the test samples once more among each of `further_candidates`, kinds of negatives that
    `validated_splits.candidates.further_negatives` freezes. `frozen_model` is a model that nothing here trained, such
    as a large one behind an endpoint: it plays the test samples with the same prompts and tools, and is a baseline of
    the report under its `name`; null for none.
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
    frozen_model: FrozenModelConfig | None
    references: tuple[str, ...]
    injection: InjectionConfig | None
    bootstrap_draws: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
