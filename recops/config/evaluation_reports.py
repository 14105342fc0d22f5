"""Recipe section `evaluation_reports`: how many test samples are played, and how intervals are drawn."""

from typing import Annotated

from pydantic import Field

from recops.config.section import Section


class EvaluationConfig(Section):
    """Settings of the stage `evaluation_reports`."""

    max_samples: Annotated[int, Field(ge=1)]
    batch_size: Annotated[int, Field(ge=1)]
    bootstrap_draws: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]
