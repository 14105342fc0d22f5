"""A recipe: one YAML file that holds a data set, a backbone and every setting of every stage."""

from pathlib import Path
from typing import Annotated, Any

from pydantic import Field, model_validator

from recops.config.agent import AgentConfig
from recops.config.baselines import BaselinesConfig
from recops.config.evaluation_reports import EvaluationConfig
from recops.config.llm_baselines import LlmBaselinesConfig
from recops.config.policy import (
    BasePolicyConfig,
    ExpertEpisodesConfig,
    GrpoConfig,
    PprConfig,
    PreferencePairsConfig,
    SftConfig,
)
from recops.config.promotion import PromotionConfig
from recops.config.raw_data import RawDataConfig
from recops.config.sasrec_embeddings import SasrecConfig
from recops.config.section import RECIPE_NAME_PATTERN, NamedSection, parse_section, read_section
from recops.config.validated_splits import ValidatedSplitsConfig

_EXAMPLE = "recipes/embedded.yaml"


class Recipe(NamedSection):
    """Every setting of one pipeline.

    A section is named after its stage; `seed`, `training_seed` and `agent` are shared, and no stage reads `promotion`.
    """

    name: Annotated[str, Field(pattern=RECIPE_NAME_PATTERN)]
    description: str
    seed: Annotated[int, Field(ge=0, lt=2**31)]
    training_seed: Annotated[int, Field(ge=0, lt=2**31)]
    agent: AgentConfig
    raw_data: RawDataConfig
    validated_splits: ValidatedSplitsConfig
    sasrec_embeddings: SasrecConfig
    baselines: BaselinesConfig
    base_policy: BasePolicyConfig
    expert_episodes: ExpertEpisodesConfig
    sft_checkpoint: SftConfig
    grpo_model: GrpoConfig
    preference_pairs: PreferencePairsConfig
    ppr_model: PprConfig
    llm_baselines: LlmBaselinesConfig
    evaluation_reports: EvaluationConfig
    promotion: PromotionConfig

    @model_validator(mode="after")
    def _further_candidates_are_frozen(self) -> "Recipe":
        frozen = self.validated_splits.candidates.further_negatives
        missing = [kind for kind in self.evaluation_reports.further_candidates if kind not in frozen]
        if missing:
            raise ValueError(
                f"evaluation_reports.further_candidates names {', '.join(missing)}; expected kinds of "
                "validated_splits.candidates.further_negatives"
            )
        return self


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        InputError: the file is missing, is no YAML mapping, or a key is unknown, absent or out of range; all the wrong
            keys are named at once.
    """
    return read_section(path, Recipe, example=_EXAMPLE)


def parse_recipe(content: dict[str, Any], *, where: Path) -> Recipe:
    """Check the content of a recipe that was read from `where`; its name must be the file's.

    Raises:
        InputError: as `load_recipe`.
    """
    return parse_section(content, Recipe, where=where, example=_EXAMPLE)
