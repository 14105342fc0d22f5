"""A study: one YAML file that says which recipes, variants and training seeds are compared, and which pairs tested."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from recops.config.overrides import recipe_value
from recops.config.recipe import Recipe
from recops.config.section import RECIPE_NAME_PATTERN, NamedSection, Section, read_section
from recops.config.validated_splits import DrawnNegatives
from recops.errors import InputError
from recops.stage import STAGE_NAMES, StageName
from recops.trials import Late, Skippable

Name = Annotated[str, Field(pattern=RECIPE_NAME_PATTERN)]
Measured = Literal["baselines", "base_policy", "sft_checkpoint", "grpo_model", "ppr_model"]


class Variant(Section):
    """What differs from the recipe, and which of its stages are measured.

    Attributes:
        changes: dotted key of the recipe -> value.
        added: dotted key of the recipe -> what is added to the number that the recipe has there.
        without_tools: names that are left out of the recipe's `agent.tools`; one that is not there is no matter, for
            recipes differ, but one at least must be.
        since: the first stage that all this holds for; what lies before is as the recipe has it. Whatever is measured
            plays under the changed settings.
        skips: stages that are left out; the next one goes on with the policy before them.
        rounds: of PPR; each mines with the model of the round before and goes on from it.
        measured: policies that play, or `baselines`.
    """

    changes: dict[str, Any]
    added: dict[str, int | float]
    without_tools: tuple[str, ...]
    since: StageName
    skips: tuple[Skippable, ...]
    rounds: Annotated[int, Field(ge=1)]
    measured: Annotated[tuple[Measured, ...], Field(min_length=1)]

    @model_validator(mode="after")
    def _consistent(self) -> "Variant":
        if self.without_tools and "agent.tools" in self.changes:
            raise ValueError("without_tools: agent.tools is among the changes already")
        if twice := set(self.changes) & set(self.added):
            raise ValueError(f"added: {', '.join(sorted(twice))} is among the changes already")
        if self.since != STAGE_NAMES[0] and not (self.changes or self.added or self.without_tools):
            raise ValueError(f"since: nothing is changed that could hold from {self.since} on")
        if set(self.skips) & set(self.measured):
            raise ValueError("measured: a stage that is skipped")
        if self.rounds > 1 and self.measured != ("ppr_model",):
            raise ValueError("rounds: more than one is of PPR, so that ppr_model alone can be measured")
        return self

    def late(self, recipe: Recipe) -> Late:
        """Return the changes of a recipe as a trial takes them.

        Raises:
            InputError: none of the tools to leave out is there, or a key that is added to is no number of the recipe.
        """
        raised = {key: _number_of(recipe, key) + more for key, more in self.added.items()}
        changes = {**self.changes, **raised}
        if not self.without_tools:
            return Late(self.since, changes)
        left = [name for name in recipe.agent.tools if name not in self.without_tools]
        if len(left) == len(recipe.agent.tools):
            found = f"none of {', '.join(self.without_tools)} in agent.tools of {recipe.name}"
            step = "Name one that the recipe has, or drop the recipe from the study."
            raise InputError("without_tools", found=found, expected="one of its tools", next_step=step)
        return Late(self.since, {**changes, "agent.tools": left})


def _number_of(recipe: Recipe, key: str) -> int | float:
    """Return the number that a recipe has at a dotted key."""
    try:
        found = recipe_value(recipe, key)
    except (KeyError, TypeError):
        found = None
    if isinstance(found, bool) or not isinstance(found, int | float):
        step = f"Name a number of {recipe.name}, as sft_checkpoint.steps; other values stand in `changes`."
        raise InputError("added", found=f"{key}: {found!r}", expected="a number of the recipe", next_step=step)
    return found


class Group(Section):
    """Rows of a table that are read together.

    Attributes:
        against: the system that every other row is compared with, as VARIANT/SYSTEM.
        rows: what a row is called -> VARIANT/SYSTEM.
    """

    title: str
    against: str
    rows: Annotated[dict[str, str], Field(min_length=1)]

    @model_validator(mode="after")
    def _holds_its_reference(self) -> "Group":
        if self.against not in self.rows.values():
            raise ValueError(f"against: {self.against} is no row of the group")
        return self


class Study(NamedSection):
    """A comparison.

    Attributes:
        slice: where it is measured; choices are made on `valid`.
        further_candidates: kinds of negatives among which every system ranks the same samples once more.
        baselines: which systems of the stage `baselines` are kept.
        pairs: systems whose difference in NDCG@10 is tested, as VARIANT/SYSTEM; all of a recipe are one family, and
            once more for each kind of further candidates.
        groups: rows in groups, each with its difference from a row of the group; such a table stands in the place of
            the one that is sorted by value. The differences of all groups of a recipe are one family.
        bootstrap_draws: resamples of users.
        confidence: coverage of intervals.
    """

    name: Name
    description: str
    recipes: Annotated[tuple[Name, ...], Field(min_length=1)]
    training_seeds: Annotated[tuple[int, ...], Field(min_length=1)]
    slice: Literal["valid", "test"]
    further_candidates: tuple[DrawnNegatives, ...]
    baselines: tuple[Name, ...]
    variants: Annotated[dict[Name, Variant], Field(min_length=1)]
    pairs: tuple[tuple[str, str], ...]
    groups: tuple[Group, ...]
    bootstrap_draws: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _systems_exist(self) -> "Study":
        known = set(self.systems())
        named = {"pairs": self.pairs, "groups": [group.rows.values() for group in self.groups]}
        for key, parts in named.items():
            for name in [name for part in parts for name in part]:
                if name not in known:
                    raise ValueError(f"{key}: {name} is no system of the study; there are {', '.join(sorted(known))}")
        if self.pairs and self.groups:
            raise ValueError("pairs: the groups have differences of their own")
        if len(set(self.training_seeds)) < len(self.training_seeds):
            raise ValueError("training_seeds: each once")
        return self

    def systems(self) -> Iterator[str]:
        """Yield the name of every system that a row of a table stands for, as VARIANT/SYSTEM."""
        for name, variant in self.variants.items():
            for stage in variant.measured:
                yield from (
                    (f"{name}/{one}" for one in self.baselines) if stage == "baselines" else [f"{name}/{stage}"]
                )

    def cells(self, recipe: str | None = None) -> Iterator["Cell"]:
        """Yield the cells, of one recipe or of all: seed by seed, so that a first seed is whole before the next."""
        for one in self.recipes if recipe is None else (recipe,):
            for seed in self.training_seeds:
                for name, variant in self.variants.items():
                    for stage in variant.measured:
                        yield Cell(one, name, stage, seed)


@dataclass(frozen=True)
class Cell:
    """One measurement: a stage of a variant of a recipe, trained with a seed."""

    recipe: str
    variant: str
    stage: StageName
    training_seed: int

    @property
    def file(self) -> Path:
        """Its file below the study's folder."""
        return Path(self.recipe) / f"{self.variant}.{self.stage}.{self.training_seed}.json"


def study_folder(root: Path, name: str) -> Path:
    """Return the folder of a study's cells."""
    return root / "docs" / "results" / name


def load_study(path: Path) -> Study:
    """Read and check a study.

    Raises:
        InputError: the file is missing or no YAML, or a key is unknown, absent or wrong.
    """
    return read_section(path, Study, example="studies/method.yaml")
