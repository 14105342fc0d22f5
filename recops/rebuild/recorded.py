"""What a run in MLflow holds of how it was made: commit, recipe, dvc.lock, and the manifest with its numbers."""

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from recops.artifacts import MANIFEST, read_json
from recops.errors import InputError
from recops.runner import RECIPE
from recops.stage import STAGE_NAMES, StageName
from recops.tracking import find_run, run_files
from recops.versioning import DVC_LOCK

_COMMIT = re.compile(r"[0-9a-f]{40}")
_DIRTY = "-dirty"


@dataclass(frozen=True)
class RecordedRun:
    """One finished execution of a stage.

    Attributes:
        recipe: content of the recipe as it ran; of a trial, with its overrides.
        manifest: of the artefact that it made; it has the report.
        lock: the dvc.lock that recorded it, None where DVC did not: of trials, and of stages run by hand or by DVC.
    """

    run_id: str
    stage: StageName
    commit: str
    recipe: dict[str, Any]
    manifest: dict[str, Any]
    lock: Path | None

    @property
    def name(self) -> str:
        """Name of its recipe."""
        return str(self.recipe["name"])

    @property
    def target(self) -> str:
        """What DVC calls the stage of its recipe."""
        return f"{self.stage}@{self.name}"


def recorded_run(root: Path, run_id: str) -> RecordedRun:
    """Return what a run holds.

    Raises:
        InputError: MLflow has no such run, it is of no stage, did not finish, or does not say which code made it.
    """
    tags = find_run(root, run_id)
    if tags.get("stage") not in STAGE_NAMES:
        found = f"a run that did {tags.get('action') or tags.get('stage') or 'something else'}"
        step = "Take the run of a stage; that of evaluation_reports rebuilds the whole pipeline."
        raise InputError(run_id, found=found, expected="the execution of a stage", next_step=step)
    commit, files = _clean_commit(run_id, tags["git_commit"]), run_files(root, run_id)
    for name in (MANIFEST, RECIPE):
        if not (files / name).is_file():
            found = f"no {name}, so that it did not finish or was made before runs held it"
            step = "Take a finished run; its artefacts may be in the DVC remote (docs/restoring.md)."
            raise InputError(run_id, found=found, expected="a run that holds how it was made", next_step=step)
    [stage] = [name for name in STAGE_NAMES if name == tags["stage"]]
    return RecordedRun(
        run_id=run_id,
        stage=stage,
        commit=commit,
        recipe=yaml.safe_load((files / RECIPE).read_text(encoding="utf-8")),
        manifest=read_json(files / MANIFEST),
        lock=files / DVC_LOCK if (files / DVC_LOCK).is_file() else None,
    )


def _clean_commit(run_id: str, commit: str) -> str:
    if _COMMIT.fullmatch(commit):
        return commit
    if commit.endswith(_DIRTY):
        found = f"changes on top of {commit.removesuffix(_DIRTY)[:12]} that no commit holds"
        step = (
            "Nobody can make it again as it was. Commit before a run; `recops compare` reads its results all the same."
        )
    else:
        found, step = "no commit", "Keep the project in git, and commit before a run."
    raise InputError(run_id, found=found, expected="a run of a commit", next_step=step)
