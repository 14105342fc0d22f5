"""What a person may name to be compared: a recipe, a trial, a folder, a run of MLflow; each is found, and verified."""

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from recops.artifacts import MANIFEST, verify
from recops.config.section import RECIPE_NAME_PATTERN
from recops.errors import InputError
from recops.paths import Layout
from recops.stage import StageName
from recops.tracking import find_run, run_files

STAGE: StageName = "evaluation_reports"
_PREFIX = re.compile(r"[0-9a-f]{4,16}")
_MLFLOW_ID = re.compile(r"[0-9a-f]{32}")
_STEP = "Name a recipe that was run, the beginning of a trial's fingerprint, a folder, or the id of a run in MLflow."


@dataclass(frozen=True)
class Run:
    """A finished evaluation: what it is called in a comparison, where it lies, and its manifest."""

    label: str
    folder: Path
    manifest: dict[str, Any]


def open_runs(root: Path, names: Sequence[str]) -> list[Run]:
    """Return the evaluations that are named, in their order, each under a label of its own.

    Args:
        root: the project's root.
        names: of each, a recipe, the beginning of the fingerprint of a trial's evaluation, a folder, or the id of a
            run of `evaluation_reports` in MLflow.

    Raises:
        InputError: a name stands for nothing or for several, or what it stands for is damaged or is no evaluation.
    """
    runs = [_opened(name, *_located(root, name)) for name in names]
    repeated = Counter(run.label for run in runs)
    numbered = enumerate(runs, start=1)
    return [replace(run, label=f"{run.label} ({n})") if repeated[run.label] > 1 else run for n, run in numbered]


def _located(root: Path, name: str) -> tuple[str, Path]:
    """Return the label and the folder of what a name stands for."""
    if (Path(name) / MANIFEST).is_file():
        return _label_of(Path(name).resolve(), root), Path(name)
    if re.fullmatch(RECIPE_NAME_PATTERN, name) and Layout(root, name).artefact(STAGE).is_dir():
        return name, Layout(root, name).artefact(STAGE)
    if _MLFLOW_ID.fullmatch(name):
        return _of_mlflow(root, name)
    trials = sorted(root.glob(f"runs/*/{STAGE}/{name}*/{MANIFEST}")) if _PREFIX.fullmatch(name) else []
    if len(trials) > 1:
        found = ", ".join(_label_of(path.parent, root) for path in trials)
        raise InputError(name, found=found, expected="one trial", next_step="Give more of the fingerprint.")
    if not trials:
        raise InputError(name, found=f"nothing; there are {_known(root)}", expected="a finished run", next_step=_STEP)
    return _label_of(trials[0].parent, root), trials[0].parent


def _of_mlflow(root: Path, run_id: str) -> tuple[str, Path]:
    """Return the artefact of a run: where it was written, if that is still it, else the copies in MLflow."""
    tags = find_run(root, run_id)
    if tags.get("stage") != STAGE:
        found = f"a run of {tags.get('stage', 'no stage')}"
        raise InputError(run_id, found=found, expected=f"a run of {STAGE}", next_step=_STEP)
    return f"{tags['recipe']} {run_id[:8]}", run_files(root, run_id)


def _opened(name: str, label: str, folder: Path) -> Run:
    """Return a verified run.

    Raises:
        InputError: it is damaged, or no evaluation.
    """
    try:
        manifest = verify(folder)
    except InputError as error:
        step = f"Make it again, or fetch it (dvc pull): {name} cannot be compared as it is."
        raise InputError(error.where, found=error.found, expected=error.expected, next_step=step) from error
    if manifest.get("stage") != STAGE:
        found = f"an artefact of {manifest.get('stage', 'no stage')}"
        raise InputError(folder, found=found, expected=f"one of {STAGE}", next_step=_STEP)
    return Run(label, folder, manifest)


def _label_of(folder: Path, root: Path) -> str:
    """Return `RECIPE`, `RECIPE FINGERPRINT` for a trial, or the name of a folder elsewhere."""
    if root / "runs" in folder.parents:
        return f"{folder.parent.parent.name} {folder.name[:8]}"
    return folder.parent.name if folder.name == STAGE else folder.name


def _known(root: Path) -> str:
    recipes = [path.parent.parent.name for path in sorted(root.glob(f"reports/*/{STAGE}/{MANIFEST}"))]
    trials = [_label_of(path.parent, root) for path in sorted(root.glob(f"runs/*/{STAGE}/*/{MANIFEST}"))]
    return ", ".join([*recipes, *trials]) or "no evaluations yet"
