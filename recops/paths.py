"""Where everything lies: each path of a recipe's artefacts, derived from the project's root and the recipe's name."""

import os
import re
from dataclasses import dataclass
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
