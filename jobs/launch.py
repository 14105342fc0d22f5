"""One execution of a job for one recipe, as `recops run` starts it: `python -m jobs.launch JOB RECIPE [--from STAGE]`.

It runs here, without a daemon, and is recorded in the project's Dagster instance, so that the UI shows it.
"""

import argparse
import os
import sys
import traceback
import uuid
from pathlib import Path

import psutil
from dagster import AssetKey, AssetSelection, DagsterInstance, DagsterRunStatus, RunsFilter, execute_job
from dagster._core.definitions.reconstruct import ReconstructableRepository
from dagster._core.errors import DagsterExecutionInterruptedError
from dagster._utils.interrupts import setup_interrupt_handlers
from rich.console import Console

from assets.child_process import die_with_parent
from jobs.asset_jobs import ASSET_JOBS
from jobs.definitions import defs
from jobs.follow import Follower, following
from recops import environment
from recops.errors import InputError
from recops.stage import STAGE_NAMES
from recops.versioning import CODE_ROOT

LAUNCH = "recops/launch"
LAUNCHER = "recops/launcher_pid"
_NOT_BY_ITSELF = {"dagster/max_retries": "0"}
"""A run that somebody started at a terminal, somebody starts again: a daemon that finds it dead does not."""
# The follower tells what matters; Dagster's own lines stay in its event log.
_QUIET = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}


def main() -> int:
    """Execute the job; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m jobs.launch", description=__doc__)
    parser.add_argument("job", choices=list(ASSET_JOBS))
    parser.add_argument("recipe")
    parser.add_argument("--from", dest="first", choices=STAGE_NAMES, help="this stage and what follows from it")
    arguments = parser.parse_args()
    die_with_parent()
    setup_interrupt_handlers()
    environment.prepare()
    console = Console()
    log = _keep_stderr()
    try:
        with DagsterInstance.get() as instance:
            end_dead_runs(instance)
            success = _execute(instance, console, arguments.job, arguments.recipe, arguments.first)
    except (Exception, DagsterExecutionInterruptedError) as error:  # the boundary: words here, the traceback in the log
        traceback.print_exc()
        console.print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        success = False
    if not success:
        console.print(f"Tracebacks and warnings: {log}", highlight=False, soft_wrap=True)
    return 0 if success else 1


def _keep_stderr() -> Path:
    """Send what this process and its children write to stderr to a file: there, warnings do not hide the progress."""
    path = environment.dagster_home() / "logs" / f"launch-{os.getpid()}.log"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("ab") as file:
        os.dup2(file.fileno(), sys.stderr.fileno())
    return path


def _execute(instance: DagsterInstance, console: Console, job: str, recipe: str, first: str | None) -> bool:
    launch = {LAUNCH: uuid.uuid4().hex}
    tags = {"dagster/partition": recipe, LAUNCHER: str(os.getpid()), **_NOT_BY_ITSELF, **launch}
    repository = ReconstructableRepository.for_module("jobs.definitions", "defs", str(CODE_ROOT))
    with following(Follower(instance, launch, console)):
        result = execute_job(
            repository.get_reconstructable_job(job),
            instance,
            run_config=_QUIET,
            tags=tags,
            asset_selection=selected_keys(job, first),
        )
    return result.success


def selected_keys(job: str, first: str | None) -> list[AssetKey] | None:
    """Return the assets of a job from `first` downwards, or None for all of them.

    Raises:
        InputError: the job has none of them.
    """
    if first is None:
        return None
    selection = AssetSelection.assets(first).downstream() & ASSET_JOBS[job].selection
    keys = sorted(selection.resolve(defs.resolve_asset_graph()))
    if not keys:
        step = "Leave --job out, or name a stage of the job."
        raise InputError("--from", found=f"{first}, after which {job} has nothing", expected="a stage", next_step=step)
    return keys


def end_dead_runs(instance: DagsterInstance) -> None:
    """Mark runs whose launcher was killed as failed, and give back the pool slots of every run that is over.

    The daemon does the same, but `recops run` needs none, and a slot that stays taken would block it for ever.
    """
    for run in instance.get_runs(RunsFilter(statuses=[DagsterRunStatus.STARTED])):
        launcher = run.tags.get(LAUNCHER)
        if launcher and not psutil.pid_exists(int(launcher)):
            instance.report_run_failed(run, f"the launcher, process {launcher}, was killed")
    for run_id in instance.event_log_storage.get_concurrency_run_ids():
        run = instance.get_run_by_id(run_id)
        if run is None or run.is_finished:
            instance.event_log_storage.free_concurrency_slots_for_run(run_id)


if __name__ == "__main__":
    sys.exit(main())
