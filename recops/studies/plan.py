"""A study: one YAML file that says which recipes, variants and training seeds are compared, and which pairs tested."""

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, model_validator

from recops.config.section import RECIPE_NAME_PATTERN, NamedSection, Section, read_section
from recops.config.validated_splits import DrawnNegatives
from recops.stage import StageName

Name = Annotated[str, Field(pattern=RECIPE_NAME_PATTERN)]
Measured = Literal["baselines", "base_policy", "sft_checkpoint", "grpo_model", "ppr_model"]


class Variant(Section):
    """What differs from the recipe, and which of its stages are measured.

    Attributes:
        changes: dotted key of the recipe -> value.
        measured: policies that play, or `baselines`.
    """

    changes: dict[str, Any]
    measured: Annotated[tuple[Measured, ...], Field(min_length=1)]


class Study(NamedSection):
    """A comparison.

    Attributes:
        slice: where it is measured; choices are made on `valid`.
        further_candidates: kinds of negatives among which every system ranks the same samples once more.
        baselines: which systems of the stage `baselines` are kept.
        pairs: systems whose difference in NDCG@10 is tested, as VARIANT/SYSTEM; all of a recipe are one family, and
            once more for each kind of further candidates.
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
    bootstrap_draws: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]

    @model_validator(mode="after")
    def _pairs_exist(self) -> "Study":
        known = set(self.systems())
        for name in {name for pair in self.pairs for name in pair}:
            if name not in known:
                raise ValueError(f"pairs: {name} is no system of the study; there are {', '.join(sorted(known))}")
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
    """Return the folder of a study's cells; its page lies beside it."""
    return root / "docs" / "results" / name


def load_study(path: Path) -> Study:
    """Read and check a study.

    Raises:
        InputError: the file is missing or no YAML, or a key is unknown, absent or wrong.
    """
    return read_section(path, Study, example="studies/method.yaml")
