"""Where everything lies: each path of a recipe's artefacts, derived from the project's root and the recipe's name."""

import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from recops.config.section import RECIPE_NAME_PATTERN
from recops.errors import InputError
from recops.stage import STAGES, StageName


def project_root() -> Path:
    """Return `RECOPS_ROOT` if it is set, else the checkout that holds this package."""
    configured = os.environ.get("RECOPS_ROOT")
    return Path(configured).resolve() if configured else Path(__file__).resolve().parent.parent


@dataclass(frozen=True)
class Layout:
    """Paths of one recipe below `root`; nothing is created by asking for a path."""

    root: Path
    recipe: str

    def __post_init__(self) -> None:
        if not re.fullmatch(RECIPE_NAME_PATTERN, self.recipe):
            step = "Name an existing file of recipes/ without its ending."
            raise InputError(
                "recipe", found=repr(self.recipe), expected=f"a name like {RECIPE_NAME_PATTERN}", next_step=step
            )

    @property
    def recipe_file(self) -> Path:
        """The recipe itself."""
        return self.root / "recipes" / f"{self.recipe}.yaml"

    def artefact(self, stage: StageName) -> Path:
        """Folder of a stage's finished artefact: what DVC tracks."""
        return self.root / STAGES[stage].root / self.recipe / stage

    def checkpoints(self, stage: StageName) -> Path:
        """Folder of unfinished work; not a DVC output, for DVC deletes outputs before a stage runs."""
        return self.root / "checkpoints" / self.recipe / stage

    def lock(self, stage: StageName) -> Path:
        """File whose lock the running stage holds."""
        return self.root / "checkpoints" / self.recipe / f"{stage}.lock"


@dataclass(frozen=True)
class TrialLayout(Layout):
    """Where a trial's artefacts lie: some under `runs/`, which nobody tracks, the others where the recipe has them.

    Attributes:
        places: the folder of every artefact of the trial that was found or is being made; what is not there lies where
            the recipe has it.
    """

    places: Mapping[StageName, Path] = field(default_factory=dict)

    def own(self, stage: StageName, fingerprint: str) -> Path:
        """Folder of an artefact with a fingerprint that is not the recipe's; trials that agree on it share it."""
        return self.root / "runs" / self.recipe / stage / fingerprint[:16]

    def artefact(self, stage: StageName) -> Path:
        """Folder of a stage's finished artefact."""
        return self.places[stage] if stage in self.places else super().artefact(stage)

    def checkpoints(self, stage: StageName) -> Path:
        """Folder of unfinished work, beside the artefact."""
        return self.artefact(stage).with_suffix(".checkpoints")

    def lock(self, stage: StageName) -> Path:
        """File whose lock the running stage holds."""
        return self.artefact(stage).with_suffix(".lock")
