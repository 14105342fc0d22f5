"""What would stop or spoil a run on this machine, each with its fix."""

import contextlib
import fcntl
import http
import http.client
import importlib.metadata
import os
import platform
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import urlsplit

import psutil
import yaml
from packaging.version import Version

from recops.config.recipe import load_recipe
from recops.data.source_files import find_source_files
from recops.environment import TELEMETRY, dagster_home, sends_telemetry
from recops.errors import InputError
from recops.gpu import nvidia_gpus, torch_is_for_cpu
from recops.paths import Layout
from recops.tracking import store_uri
from recops.versioning import CODE_ROOT, remote_of, run_dvc

MIN_FREE_DISK_BYTES = 5 * 10**9
MIN_FREE_MEMORY_BYTES = 4 * 10**9
MIN_FREE_GPU_FRACTION = 0.5
SERVERS = {"Dagster": (3000, "/server_info"), "MLflow": (5000, "/health")}
"""Server of `make ui` -> its port, and a path at which it answers 200 and other servers hardly do."""
LOCK_FILE = "requirements.lock"
DVC_LOCK_FILE = "requirements-dvc.lock"
_FIRST_ANTLR_OF_DAGSTER = Version("4.13")


@dataclass(frozen=True)
class Problem:
    """Something that is wrong: what, what was found, and what to do."""

    what: str
    found: str
    fix: str


def find_problems(root: Path, recipe: str) -> list[Problem]:
    """Return every problem found, worst first; nothing is changed."""
    return [
        *_python(),
        *_versions(CODE_ROOT / LOCK_FILE),
        *_antlr(),
        *_recipe(root, recipe),
        *_dvc(root),
        *_stores(root),
        *_telemetry(root),
        *_gpu(root, recipe),
        *_machine(root),
    ]


def pinned_versions(lock: Path) -> dict[str, str]:
    """Return package -> version of a lock file of `name==version` lines."""
    lines = (line.partition("#")[0].strip() for line in lock.read_text(encoding="utf-8").splitlines())
    return dict(line.split("==", 1) for line in lines if line)


def _python() -> Iterator[Problem]:
    if not platform.python_version().startswith("3.11."):
        yield Problem("Python", platform.python_version(), "Install Python 3.11, remove .venv, run: make setup")


def _versions(lock: Path) -> Iterator[Problem]:
    """Compare installed packages with the lock; a local label such as torch's +cpu is no difference."""
    wrong = []
    for name, wanted in pinned_versions(lock).items():
        try:
            found = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            found = "missing"
        if found.partition("+")[0] != wanted:
            wrong.append(f"{name} {found} (pinned {wanted})")
    if wrong:
        yield Problem("packages", ", ".join(wrong), "Run: make setup")


def _antlr() -> Iterator[Problem]:
    found = importlib.metadata.version("antlr4-python3-runtime")
    if Version(found) < _FIRST_ANTLR_OF_DAGSTER:
        fix = "DVC or omegaconf was installed beside Dagster. Remove .venv, run: make setup"
        yield Problem("antlr4-python3-runtime", f"{found}, with which Dagster's asset selections crash", fix)


def _recipe(root: Path, name: str) -> Iterator[Problem]:
    try:
        source = load_recipe(Layout(root, name).recipe_file).raw_data.source
    except InputError as error:
        yield Problem(f"recipe {name}", f"{error.where}: {error.found}", error.next_step)
        return
    try:
        find_source_files(source, root)
    except InputError as error:
        yield Problem(f"source of {name}", f"{error.where}: {error.found}", error.next_step)


def _dvc(root: Path) -> Iterator[Problem]:
    try:
        found = run_dvc(root, "--version").strip()
    except InputError as error:
        yield Problem("DVC", error.found, error.next_step)
        return
    wanted = pinned_versions(CODE_ROOT / DVC_LOCK_FILE)["dvc"]
    if found != wanted:
        yield Problem("DVC", f"{found} (pinned {wanted})", "Remove .venv-dvc, run: make setup")
    if not (root / ".dvc").is_dir():
        yield Problem("DVC", f"no .dvc folder in {root}", "Run inside a clone, or: dvc init")
        return
    yield from _dvc_locks(root)
    yield from _dvc_remote(root)


def _dvc_locks(root: Path) -> Iterator[Problem]:
    lock, readers = root / ".dvc" / "tmp" / "lock", root / ".dvc" / "tmp" / "rwlock"
    if lock.is_file() and _is_held(lock):
        yield Problem("DVC lock", "another DVC command is running", "Wait until it has finished.")
    holders = _pids(yaml.safe_load(readers.read_text(encoding="utf-8"))) if readers.is_file() else set()
    dead = sorted(pid for pid in holders if not psutil.pid_exists(pid))
    if dead:
        yield Problem("DVC lock", f"left by process {', '.join(map(str, dead))}, which is gone", f"Remove {readers}")


def _is_held(lock: Path) -> bool:
    with lock.open("a+", encoding="utf-8") as file, contextlib.suppress(BlockingIOError):
        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        return False
    return True


def _pids(content: object) -> set[int]:
    """Every process id in DVC's table of who reads or writes which path."""
    if isinstance(content, dict):
        own = {int(content["pid"])} if "pid" in content else set()
        return own.union(*(_pids(value) for value in content.values()))
    return set().union(*map(_pids, content)) if isinstance(content, list) else set()


def _dvc_remote(root: Path) -> Iterator[Problem]:
    try:
        remote = remote_of(root)
    except InputError as error:
        yield Problem("DVC remote", error.found, error.next_step)
        return
    if remote is None:
        yield Problem("DVC remote", "no default remote", "Choose one: dvc remote default NAME")
        return
    url = Path(remote.url)
    if url.is_absolute() and not os.access(url if url.exists() else url.parent, os.W_OK):
        yield Problem(
            "DVC remote", f"{url} cannot be written", "Choose another: dvc remote modify --local local url PATH"
        )


def _stores(root: Path) -> Iterator[Problem]:
    uri = store_uri(root)
    if urlsplit(uri).scheme in ("", "file"):
        yield Problem("MLflow store", f"{uri}, a file store, which MLflow 3 refuses", "Unset MLFLOW_TRACKING_URI.")
    if not (dagster_home() / "dagster.yaml").is_file():
        fix = "Unset DAGSTER_HOME, or copy dagster.yaml there."
        yield Problem("Dagster instance", f"no dagster.yaml in {dagster_home()}", fix)


def _gpu(root: Path, recipe: str) -> Iterator[Problem]:
    """A GPU that torch cannot use, one that is taken, and a recipe that needs one where there is none."""
    gpus = nvidia_gpus()
    if isinstance(gpus, str):
        yield Problem("GPU", gpus, "Mend the NVIDIA driver; until then everything runs on the CPU.")
    elif gpus and torch_is_for_cpu():
        names, pinned = ", ".join(gpu.name for gpu in gpus), importlib.metadata.version("torch").partition("+")[0]
        fix = f"Install the CUDA build of torch {pinned} into .venv."
        yield Problem("GPU", f"{names}, and a torch that was built for the CPU", fix)
    elif not gpus and _engine(root, recipe) == "vllm":
        yield Problem("GPU", "none, and the recipe's agent.engine is vllm", "Set agent.engine to transformers.")
    for gpu in gpus if isinstance(gpus, list) else ():
        if gpu.free is not None and gpu.total and gpu.free < MIN_FREE_GPU_FRACTION * gpu.total:
            found = f"{gpu.name}: {gpu.free:,} of {gpu.total:,} MiB free"
            yield Problem("GPU", found, "Stop what else computes there (nvidia-smi lists it), or choose another GPU.")


def _engine(root: Path, recipe: str) -> str | None:
    """The engine that a recipe names, None where there is no such recipe: `_recipe` tells of that."""
    try:
        return load_recipe(Layout(root, recipe).recipe_file).agent.engine
    except InputError:
        return None


def _telemetry(root: Path) -> Iterator[Problem]:
    settings = dagster_home() / "dagster.yaml"
    content = yaml.safe_load(settings.read_text(encoding="utf-8")) if settings.is_file() else {}
    if content.get("telemetry", {}).get("enabled", True):
        yield Problem("telemetry", "Dagster's is on", f"Set telemetry.enabled to false in {settings}")
    if sends_telemetry():
        found = f"{TELEMETRY} is on: MLflow, Hugging Face and DVC send as they please"
        yield Problem("telemetry", found, f"Unset {TELEMETRY}.")
    if "analytics = false" not in _text(root / ".dvc" / "config"):
        yield Problem("telemetry", "DVC's is on", "Run: dvc config core.analytics false")


def _text(path: Path) -> str:
    return path.read_text(encoding="utf-8") if path.is_file() else ""


def _machine(root: Path) -> Iterator[Problem]:
    disk, memory = shutil.disk_usage(root).free, psutil.virtual_memory().available
    if disk < MIN_FREE_DISK_BYTES:
        yield Problem("disk", f"{disk / 1e9:.1f} GB free", "Free 5 GB; old DVC versions go with: dvc gc --workspace")
    if memory < MIN_FREE_MEMORY_BYTES:
        yield Problem("memory", f"{memory / 1e9:.1f} GB available", "Stop other programs: a run needs 4 GB.")
    for server, (port, path) in SERVERS.items():
        fix = f"Stop what listens there, or run: make ui {server.upper()}_PORT=..."
        if _taken_by_another(port, path):
            yield Problem(f"port {port}", f"in use, and {server} wants it", fix)
        elif (folder := _folder_of_listener(port)) not in (None, root.resolve()):
            yield Problem(f"port {port}", f"{server} of another checkout, {folder}", fix)


def _taken_by_another(port: int, path: str) -> bool:
    """Whether something listens that is not the server of `make ui`."""
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=2)
    try:
        connection.request("GET", path)
        return connection.getresponse().status != http.HTTPStatus.OK
    except ConnectionRefusedError:
        return False
    except (OSError, http.client.HTTPException):
        return True
    finally:
        connection.close()


def _folder_of_listener(port: int) -> Path | None:
    """The folder in which the process that listens was started, as `make ui` starts its own in the checkout.

    None where nobody listens, or where the process is another user's.
    """
    with contextlib.suppress(psutil.Error):
        for one in psutil.net_connections(kind="tcp"):
            if one.status == psutil.CONN_LISTEN and one.laddr.port == port and one.pid:
                return Path(psutil.Process(one.pid).cwd())
    return None
