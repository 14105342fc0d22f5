"""A training on many devices: `accelerate launch` starts a worker for each, this process keeps all the rest.

Lock, run in MLflow, artefact and manifest stay with the process that was asked for the stage. Every worker runs the
stage's own function on the same settings and inputs and takes its share of each step's batch; the first writes the
artefact, checkpoints and numbers, what the others write goes with them. How many there are is a fact of the machine,
like its threads, and no key of a recipe: a step's batch stays the recipe's, so that a recipe means the same on one
device and on eight. Sums differ in their last digits then, and episodes that are sampled are other draws.
"""

import dataclasses
import importlib
import os
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import yaml

from recops import environment, interrupt
from recops.artifacts import read_json, write_json
from recops.config.recipe import Recipe
from recops.errors import InputError
from recops.paths import TrialLayout
from recops.ranks import ACCELERATE, rank
from recops.stage import SEEDS, STAGES, Stage
from recops.stage_io import StageIO
from recops.traces import Trace
from recops.tracking import MlflowTracker, Tracker, open_client

_REQUEST, _ANSWER = "workers.request.json", "workers.answer.json"
_SECONDS_BETWEEN_LOOKS = 0.2


class Unrecorded:
    """The tracker of workers after the first: what they would record, the first records."""

    def __init__(self, run_id: str) -> None:
        self._run_id = run_id

    @property
    def run_id(self) -> str:
        """Identifier of the run that the first records in."""
        return self._run_id

    def log_metrics(self, values: Mapping[str, float], *, step: int | None) -> None:
        """Leave it to the first."""

    def log_file(self, path: Path) -> None:
        """Leave it to the first."""

    def log_folder(self, folder: Path) -> None:
        """Leave it to the first."""

    def log_traces(self, traces: Sequence[Trace]) -> None:
        """Leave it to the first."""

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Leave it to the first."""


def call(stage: Stage, io: StageIO, recipe: Recipe) -> dict[str, Any]:
    """Run a stage's function, in this process or, where the machine is set up so and the stage can, by workers.

    Raises:
        InputError: as the stage, or the configuration of accelerate cannot be used.
        RuntimeError: a worker failed; its error stands above, in the output.
    """
    configured = os.environ.get(ACCELERATE)
    if configured and stage.distributed:
        return _by_workers(io, recipe, checked_configuration(io.layout.root / configured))
    return call_here(stage, io, recipe)


def call_here(stage: Stage, io: StageIO, recipe: Recipe) -> dict[str, Any]:
    """Run a stage's function with the recipe's sections that it reads; return its report."""
    module, _, name = stage.function.partition(":")
    function: Callable[..., Any] = getattr(importlib.import_module(module), name)
    shared = {"seed" if key in SEEDS else key: getattr(recipe, key) for key in stage.shared}
    return dataclasses.asdict(function(io, getattr(recipe, stage.name), **shared))


def checked_configuration(path: Path) -> Path:
    """Return the file, if it is a configuration of accelerate under which all workers hold the whole model.

    Raises:
        InputError: no such file, no YAML, or sharded weights: episodes are played by each worker at its own pace, and
            with shards every forward pass would need all of them at once.
    """
    step = f"Set {ACCELERATE} to a file like recipes/accelerate/ddp.yaml, relative to the project's root."
    expected = "accelerate's configuration with distributed_type: MULTI_GPU on one machine"
    if not path.is_file():
        raise InputError(path, found="no such file", expected=expected, next_step=step)
    try:
        content = yaml.safe_load(path.read_text(encoding="utf-8"))
    except yaml.YAMLError as error:
        raise InputError(path, found=str(error), expected=expected, next_step=step) from error
    named = content if isinstance(content, dict) else {}
    found = {key: named.get(key) for key in ("distributed_type", "num_machines")}
    if found["distributed_type"] != "MULTI_GPU" or found["num_machines"] not in (None, 1):
        raise InputError(path, found=found, expected=expected, next_step=step)
    return path


def _by_workers(io: StageIO, recipe: Recipe, configuration: Path) -> dict[str, Any]:
    answer = io.checkpoints / _ANSWER
    answer.unlink(missing_ok=True)
    request = {
        "stage": io.stage,
        "recipe": recipe.model_dump(mode="json"),
        "root": str(io.layout.root),
        "inputs": {name: str(io.layout.artefact(name)) for name in STAGES[io.stage].reads},
        "out": str(io.out),
        "checkpoints": str(io.checkpoints),
        "run_id": io.tracker.run_id,
    }
    write_json(io.checkpoints / _REQUEST, request)
    code = _wait_for(_command(configuration, io.checkpoints / _REQUEST))
    interrupt.stop_if_requested()
    told = read_json(answer) if answer.is_file() else {}
    if "error" in told:
        raise InputError(told["error"].pop("where"), **told["error"])
    if code or "report" not in told:
        raise RuntimeError(f"{io.stage}: a worker failed, accelerate ended with exit code {code}; its error is above")
    for name in told["opened"]:
        io.input(name)
    report: dict[str, Any] = told["report"]
    return report


def _command(configuration: Path, request: Path) -> list[str]:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    launch = [sys.executable, "-m", "accelerate.commands.launch", "--config_file", str(configuration)]
    return [*launch, "--main_process_port", str(port), "--module", "recops.workers", str(request)]


def _wait_for(command: list[str]) -> int:
    """Return the exit code; a signal is passed on once, for accelerate tells its workers and waits for them."""
    told = False
    with interrupt.deferred(), subprocess.Popen(command, start_new_session=True) as process:
        while process.poll() is None:
            if interrupt.requested() and not told:
                told = True
                process.terminate()
            time.sleep(_SECONDS_BETWEEN_LOOKS)
    return process.returncode


def main() -> int:
    """Be one worker: `accelerate launch ... --module recops.workers REQUEST`; return the exit code."""
    environment.prepare()
    interrupt.install()
    choose_device()
    request = read_json(Path(sys.argv[1]))
    checkpoints = Path(request["checkpoints"])
    tracker, out = _first(request) if rank() == 0 else _further(request, checkpoints / f"worker-{rank()}")
    recipe = Recipe.model_validate(request["recipe"])
    layout = TrialLayout(Path(request["root"]), recipe.name, {k: Path(v) for k, v in request["inputs"].items()})
    io = StageIO(request["stage"], layout, out, checkpoints, tracker)
    return _answered(io, recipe, checkpoints / _ANSWER)


def _first(request: Mapping[str, Any]) -> tuple[Tracker, Path]:
    """What the first worker records in and writes to."""
    return MlflowTracker(open_client(Path(request["root"])), request["run_id"]), Path(request["out"])


def _further(request: Mapping[str, Any], scratch: Path) -> tuple[Tracker, Path]:
    """The same of a worker after the first: it writes to a folder that goes, and MLflow is never imported."""
    shutil.rmtree(scratch, ignore_errors=True)
    scratch.mkdir()
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())  # every worker would print the same
    return Unrecorded(request["run_id"]), scratch


def choose_device() -> None:
    """Give each worker a GPU of its own; where there is none, say so, or accelerate would let all train apart."""
    import torch

    if torch.cuda.is_available():
        torch.cuda.set_device(int(os.environ.get("LOCAL_RANK", "0")))
    else:
        os.environ["ACCELERATE_USE_CPU"] = "true"


def _answered(io: StageIO, recipe: Recipe, answer: Path) -> int:
    try:
        report = call_here(STAGES[io.stage], io, recipe)
    except InputError as error:
        if rank() == 0:
            write_json(answer, {"error": vars(error)})
        raise
    finally:
        if rank():
            shutil.rmtree(io.out)
    if rank() == 0:
        write_json(answer, {"report": report, "opened": sorted(io.opened)})
    return 0


if __name__ == "__main__":
    sys.exit(main())
