"""A recipe: one YAML file that holds a data set, a backbone and every setting of every stage."""

from pathlib import Path
from typing import Annotated, Any

import yaml
from pydantic import Field, TypeAdapter, ValidationError

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
from recops.config.raw_data import RawDataConfig
from recops.config.sasrec_embeddings import SasrecConfig
from recops.config.section import RECIPE_NAME_PATTERN, Section
from recops.config.validated_splits import ValidatedSplitsConfig
from recops.errors import InputError


class Recipe(Section):
    """Every setting of one pipeline. A section is named after its stage; the others are shared."""

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


def load_recipe(path: Path) -> Recipe:
    """Read and check a recipe.

    Raises:
        InputError: the file is missing, is no YAML mapping, or a key is unknown, absent or out of range; all the wrong
            keys are named at once.
    """
    if not path.is_file():
        known = ", ".join(sorted(file.stem for file in path.parent.glob("*.yaml"))) or "none"
        raise InputError(path, found="no such file", expected="a recipe", next_step=f"Recipes there: {known}.")
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (yaml.YAMLError, UnicodeDecodeError) as error:
        raise InputError(path, found=str(error), expected="YAML", next_step="Mend the syntax.") from error
    if not isinstance(content, dict):
        kind = type(content).__name__
        raise InputError(
            path, found=kind, expected="a mapping of sections", next_step="Start from recipes/embedded.yaml."
        )
    return parse_recipe(content, where=path)


def parse_recipe(content: dict[str, Any], *, where: Path) -> Recipe:
    """Check the content of a recipe that was read from `where`; its name must be the file's.

    Raises:
        InputError: as `load_recipe`.
    """
    try:
        recipe = TypeAdapter(Recipe).validate_python(content)
    except ValidationError as error:
        problems = "; ".join(_problem(part) for part in error.errors())
        step = "Correct the keys; recipes/embedded.yaml shows every key that exists."
        raise InputError(where, found=problems, expected="the keys and ranges of a recipe", next_step=step) from error
    if recipe.name != where.stem:
        step = "Rename the file or change `name`."
        raise InputError(where, found=f"name: {recipe.name!r}", expected=f"name: {where.stem!r}", next_step=step)
    return recipe


def _problem(part: Any) -> str:
    key = ".".join(str(step) for step in part["loc"])
    found = "" if part["type"] == "missing" else f" (found {part['input']!r})"
    return f"{key}: {part['msg']}{found}"
