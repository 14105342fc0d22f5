"""Starts a child process that runs the library, and tells Dagster how it ended and whether to try again.

A child, for its memory is freed when it ends, its signals are its own, and the code location stays free of torch.
"""

import re
import signal
import sys
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from dagster import AssetExecutionContext, Failure, OpExecutionContext, PipesSubprocessClient, RetryPolicy
from dagster._core.errors import DagsterPipesExecutionError
from dagster._core.pipes.client import PipesClientCompletedInvocation

from recops.artifacts import read_json
from recops.paths import project_root
from recops.versioning import CODE_ROOT

RETRIES = RetryPolicy(max_retries=2, delay=10)
"""For what a machine does to a step; a step that says that its input is wrong is not tried again."""


def run_child(
    context: AssetExecutionContext | OpExecutionContext,
    pipes: PipesSubprocessClient,
    module: str,
    *,
    what: str,
    extras: Mapping[str, Any],
) -> PipesClientCompletedInvocation:
    """Run `python -m MODULE` under Pipes and return what it reported.

    Raises:
        Failure: it failed; in its own words where it had any, and with retries allowed where they may help.
    """
    with tempfile.TemporaryDirectory() as folder:
        failure = Path(folder) / "failure.json"
        # A run that is started again after a failure goes on with the first one's parent in MLflow.
        pipeline = context.run.root_run_id or context.run.run_id
        try:
            return pipes.run(
                context=context,
                command=[sys.executable, "-m", module],
                extras={**extras, "pipeline": pipeline, "failure": str(failure)},
                cwd=str(project_root()),
                env={"PYTHONPATH": str(CODE_ROOT)},
            )
        except DagsterPipesExecutionError as error:
            words, retry = how_it_ended(failure, error)
            raise Failure(f"{what}: {words}", allow_retries=retry) from error


def how_it_ended(failure: Path, error: DagsterPipesExecutionError) -> tuple[str, bool]:
    """Return why a child failed, and whether another attempt may succeed: after a kill, yes."""
    if failure.is_file():
        told = read_json(failure)
        return told["words"], told["retry"]
    killed = re.search(r"code -(\d+)$", str(error))
    if killed is None:
        return f"{error}: see the log of the step", False
    number = signal.Signals(int(killed[1]))
    why = ", as the kernel does when memory runs out" if number is signal.SIGKILL else ""
    return f"killed by {number.name}{why}", True
