"""What a stage function may touch: verified inputs, an output folder, a folder for checkpoints, a tracker."""

from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from recops.artifacts import verify
from recops.paths import Layout
from recops.stage import STAGES, StageName

if TYPE_CHECKING:
    # For the checker alone: how runs are recorded is no part of the code that makes an artefact.
    from recops.tracking import Tracker


@dataclass
class StageIO:
    """The door of one execution of a stage to everything outside of it.

    Attributes:
        out: empty folder that becomes the artefact when the function returns.
        checkpoints: folder that survives an interrupted execution with equal settings, code and inputs.
        tracker: the run in MLflow.
        opened: manifests of the inputs opened so far; a test compares it with the declared `reads`.
    """

    stage: StageName
    layout: Layout
    out: Path
    checkpoints: Path
    tracker: "Tracker"
    opened: dict[StageName, dict[str, object]] = field(default_factory=dict)

    def input(self, upstream: StageName) -> Path:
        """Return the folder of an upstream artefact, verified against its manifest once.

        Raises:
            InputError: the artefact is missing or damaged.
        """
        assert upstream in STAGES[self.stage].reads, f"{self.stage} opens {upstream}, which it does not declare"
        folder = self.layout.artefact(upstream)
        if upstream not in self.opened:
            self.opened[upstream] = verify(folder)
        return folder
