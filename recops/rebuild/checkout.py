"""The folder in which a run is made again: the code of its commit, its recipe, its dvc.lock, the project's remote."""

import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import yaml

from recops.errors import InputError
from recops.paths import Layout
from recops.rebuild.recorded import RecordedRun
from recops.trials import stages_through
from recops.versioning import DVC_LOCK, DVC_PARAMS, Remote, clone_at, project_environment, run_dvc

_LOCAL_CONFIG = Path(".dvc") / "config.local"


def check_out(root: Path, run: RecordedRun, folder: Path) -> None:
    """Put the code of a run's commit into an empty folder, and its recipe and dvc.lock where they lay.

    Raises:
        InputError: the folder is not empty, or the repository does not have the commit.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        step = "Name a folder that does not exist yet."
        raise InputError(folder, found="something in it", expected="an empty folder", next_step=step)
    clone_at(root, run.commit, folder)
    _place_recipe(run, folder)
    if run.lock is not None:
        shutil.copy2(run.lock, folder / DVC_LOCK)


def use_remote(root: Path, remote: Remote, folder: Path) -> None:
    """Let a checkout pull from another's remote, with the credentials that were set there for this machine alone."""
    if (root / _LOCAL_CONFIG).is_file():
        shutil.copy2(root / _LOCAL_CONFIG, folder / _LOCAL_CONFIG)
    run_dvc(folder, "remote", "add", "--local", "--force", "--default", remote.name, remote.url)


def recorded_targets(run: RecordedRun, folder: Path) -> list[str]:
    """Return the stages through that of the run that its dvc.lock has, as DVC calls them."""
    stages: dict[str, Any] = yaml.safe_load((folder / DVC_LOCK).read_text(encoding="utf-8"))["stages"]
    return [f"{name}@{run.name}" for name in stages_through(run.stage) if f"{name}@{run.name}" in stages]


def _place_recipe(run: RecordedRun, folder: Path) -> None:
    """Write the recipe where the commit has another (of a trial, or not committed), and let DVC run it."""
    file, params = Layout(folder, run.name).recipe_file, folder / DVC_PARAMS
    if not file.is_file() or yaml.safe_load(file.read_text(encoding="utf-8")) != run.recipe:
        file.write_text(yaml.safe_dump(run.recipe, sort_keys=False, allow_unicode=True), encoding="utf-8")
    if run.name not in yaml.safe_load(params.read_text(encoding="utf-8"))["recipes"]:
        params.write_text(yaml.safe_dump({"recipes": [run.name]}), encoding="utf-8")
        # With the code of the commit, not with this one: its stages may be others.
        command = [sys.executable, "-m", "recops.cli", "dvc-yaml"]
        subprocess.run(command, cwd=folder, env=project_environment(folder), check=True, stdout=subprocess.DEVNULL)
