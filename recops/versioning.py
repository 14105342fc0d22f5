"""The only door to git and DVC, and the answer to "which code made this": a stage's modules, derived from imports."""

import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

import grimp
import yaml

from recops.artifacts import content_sha256, file_sha256
from recops.errors import InputError, UnavailableError
from recops.stage import STAGES, StageName

PACKAGE = "recops"
CODE_ROOT = Path(__file__).resolve().parent.parent
DVC_LOCK, DVC_PARAMS, DVC_FILE = "dvc.lock", "params.yaml", "dvc.yaml"

_BUSY = ("Unable to acquire lock", "is busy, it is being blocked by")
_SECONDS_BETWEEN_TRIES = 1.0


def code_files(stage: StageName) -> tuple[str, ...]:
    """Return the files, relative to the root, of every module that the stage's function imports, itself included.

    A template that bears a module's name, in `templates/` beside it, is part of the module.
    """
    module = STAGES[stage].function.partition(":")[0]
    graph = _import_graph()
    modules = {module, *graph.find_upstream_modules(module)}
    return tuple(sorted(file for name in modules for file in _files(name)))


def code_sha256(root: Path, stage: StageName) -> str:
    """Return one hash over the content of a stage's code files."""
    return content_sha256({name: file_sha256(root / name) for name in code_files(stage)})


def git_commit(root: Path) -> str:
    """Return the commit of the checkout, with `-dirty` when tracked files differ from it, or `unversioned`.

    What a run itself writes into DVC's files does not count: its artefacts are made of none of it.
    """
    written = [f":(top,exclude){name}" for name in (DVC_LOCK, DVC_PARAMS, DVC_FILE)]
    try:
        commit = _git(root, "rev-parse", "HEAD").strip()
        changed = _git(root, "status", "--porcelain", "--untracked-files=no", "--", ":/", *written)
    except subprocess.CalledProcessError:
        return "unversioned"
    return f"{commit}-dirty" if changed else commit


def clone_at(root: Path, commit: str, folder: Path) -> None:
    """Clone the repository of a checkout into an empty folder, at one of its commits.

    Raises:
        InputError: the repository does not have the commit.
    """
    try:
        _git(root, "cat-file", "-e", f"{commit}^{{commit}}")
    except subprocess.CalledProcessError as error:
        step = "Fetch it (git fetch --all), or take the checkout in which the run was made."
        raise InputError(root, found=f"no commit {commit}", expected="the commit of the run", next_step=step) from error
    _git(root, "clone", "--quiet", "--no-checkout", str(root), str(folder))
    _git(folder, "checkout", "--quiet", "--detach", commit)


def _git(root: Path, *arguments: str) -> str:
    return subprocess.run(["git", *arguments], cwd=root, capture_output=True, text=True, check=True).stdout


def run_dvc(root: Path, *arguments: str, wait_seconds: float = 120.0) -> str:
    """Run a DVC command in `root` and return what it printed; wait while another DVC command holds the lock.

    Raises:
        InputError: DVC is not installed, or fails.
        UnavailableError: it is still busy after `wait_seconds`.
    """
    command, environment = [dvc_executable(), *arguments], {**os.environ, **_private_cache(root)}
    deadline = time.monotonic() + wait_seconds
    while True:
        result = subprocess.run(command, cwd=root, env=environment, capture_output=True, text=True, check=False)
        if result.returncode == 0:
            return result.stdout
        busy = any(sign in result.stderr for sign in _BUSY)
        if not busy or time.monotonic() > deadline:
            raise _dvc_error(arguments, result.stderr, busy=busy)
        time.sleep(_SECONDS_BETWEEN_TRIES)


@dataclass(frozen=True)
class Remote:
    """Where DVC keeps a project's artefacts beside its own cache."""

    name: str
    url: str


def remote_of(root: Path) -> Remote | None:
    """Return the remote that a project pulls from by default, None without one.

    Raises:
        InputError: the default remote is one that is not defined.
    """
    name = run_dvc(root, "config", "core.remote").strip()
    if not name:
        return None
    # Not `dvc remote list`, which folds a long path over several lines. Relative addresses come as absolute ones, so
    # that they hold for a folder elsewhere too.
    url = run_dvc(root, "config", f"remote.{name}.url").strip()
    if not url:
        what, found = root / ".dvc" / "config", f"core.remote = {name}, and no remote of that name"
        step = f"dvc remote add {name} PATH, or choose another: dvc remote default NAME"
        raise InputError(what, found=found, expected="the name of a remote", next_step=step)
    return Remote(name, url)


def show_dvc(root: Path, *arguments: str, next_step: str) -> None:
    """Run a DVC command in `root` that takes long: what it prints is for the person at the terminal.

    Raises:
        InputError: DVC is not installed, or fails.
    """
    done = subprocess.run([dvc_executable(), *arguments], cwd=root, env=project_environment(root), check=False)
    if done.returncode:
        what, found = f"dvc {' '.join(arguments)}", f"exit code {done.returncode}; DVC says why above"
        raise InputError(what, found=found, expected="success", next_step=next_step)


def project_environment(root: Path) -> dict[str, str]:
    """Return the environment of a command that works in the project below `root`, with this interpreter and its code.

    DVC runs stages with the PATH that it is given.
    """
    return {
        **os.environ,
        "PATH": os.pathsep.join([str(Path(sys.executable).parent), os.environ["PATH"]]),
        "PYTHONPATH": str(root),
        "RECOPS_ROOT": str(root),
        **_private_cache(root),
    }


def _private_cache(root: Path) -> dict[str, str]:
    """DVC unpickles its disk cache, and its default place is writable by every user of the machine."""
    return {"DVC_SITE_CACHE_DIR": str(root / ".dvc" / "tmp" / "site")}


def dvc_executable() -> str:
    """Return the DVC command: the checkout's own environment first, then the PATH.

    Raises:
        InputError: there is none.
    """
    own = CODE_ROOT / ".venv-dvc" / "bin" / "dvc"
    found = str(own) if own.is_file() else shutil.which("dvc")
    if found is None:
        raise InputError(own, found="no file, and no dvc on the PATH", expected="DVC", next_step="Run: make setup")
    return found


def commit_stage(root: Path, stage: StageName, recipe: str) -> dict[str, Any]:
    """Record a finished stage in dvc.lock (`dvc commit`) and return its entry there.

    Raises:
        InputError: DVC does not know the stage for this recipe, or fails.
    """
    run_dvc(root, "commit", "--force", f"{stage}@{recipe}")
    return locked_stage(root, stage, recipe)


def locked_stage(root: Path, stage: StageName, recipe: str) -> dict[str, Any]:
    """Return what dvc.lock says about a stage.

    Raises:
        InputError: dvc.lock does not hold it.
    """
    lock = root / DVC_LOCK
    content = yaml.safe_load(lock.read_text(encoding="utf-8")) if lock.is_file() else {}
    entry = content.get("stages", {}).get(f"{stage}@{recipe}")
    if entry is None:
        step = f"Run: recops run --recipe {recipe}"
        raise InputError(lock, found=f"no {stage}@{recipe}", expected="a recorded stage", next_step=step)
    return dict(entry)


def output_hash(entry: dict[str, Any]) -> str:
    """Return the hash that dvc.lock gives to the artefact of a stage: equal artefacts have equal hashes."""
    [output] = entry["outs"]
    return str(output["md5"])


def _dvc_error(arguments: tuple[str, ...], message: str, *, busy: bool) -> InputError:
    what = f"dvc {' '.join(arguments)}"
    if busy:
        step = "Wait for the other DVC command; if none runs, remove .dvc/tmp/lock and .dvc/tmp/rwlock."
        return UnavailableError(what, found=message.strip(), expected="a free DVC lock", next_step=step)
    return InputError(what, found=message.strip(), expected="success", next_step="Mend what DVC names, then run again.")


@cache
def _import_graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None, exclude_type_checking_imports=True)


def _files(module: str) -> list[str]:
    path = module.replace(".", "/")
    code = f"{path}/__init__.py" if (CODE_ROOT / path / "__init__.py").is_file() else f"{path}.py"
    folder, _, name = path.rpartition("/")
    templates = (CODE_ROOT / folder / "templates").glob(f"{name}.*")
    return [code, *(template.relative_to(CODE_ROOT).as_posix() for template in templates)]
