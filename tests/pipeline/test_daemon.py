"""A real daemon: a tick that skips and one that launches, and what becomes of its run when the daemon is killed."""

import os
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import TypeVar

import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.scheduler.instigation import InstigatorTick, TickStatus
from mlflow import MlflowClient

from jobs.alerts import WEBHOOK
from jobs.retraining import RETRAIN
from recops.artifacts import verify
from recops.paths import Layout
from recops.tracking import store_uri
from tests.pipeline.hook import listening
from tests.pipeline.project import RECIPE, Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

T = TypeVar("T")

WEEKLY = 'cron_schedule="0 3 * * 0"'
AT_ONCE = 'cron_schedule="* * * * *", default_status=DefaultScheduleStatus.RUNNING'


def wait_until(condition: Callable[[], T], what: str, seconds: float = 420) -> T:
    deadline = time.monotonic() + seconds
    while not (found := condition()):
        assert time.monotonic() < deadline, f"{what} did not happen in time"
        time.sleep(0.3)
    return found


@pytest.fixture
def instance(project: Project) -> Iterator[DagsterInstance]:
    """The instance of the project, with its own settings, looked at more often."""
    settings = project.root / "dagster.yaml"
    text = settings.read_text(encoding="utf-8")
    assert "poll_interval_seconds: 30" in text
    settings.write_text(text.replace("poll_interval_seconds: 30", "poll_interval_seconds: 2"), encoding="utf-8")
    with DagsterInstance.from_config(str(project.root / ".dagster")) as instance:
        yield instance


@contextmanager
def daemon(project: Project, log: Path, **variables: str) -> Iterator[subprocess.Popen[bytes]]:
    """A daemon with all that it starts in one group of processes, none of which outlives the block."""
    command = ["dagster-daemon", "run", "-w", str(project.root / "workspace.yaml")]
    environment = {**project.environment, "DAGSTER_HOME": str(project.root / ".dagster"), **variables}
    with log.open("ab") as out:
        process = subprocess.Popen(
            command, cwd=project.root, env=environment, stdout=out, stderr=out, start_new_session=True
        )
    try:
        yield process
    finally:
        kill_all(process)


def kill_all(process: subprocess.Popen[bytes]) -> None:
    """As when the machine is switched off: the daemon, the server of the code, the run and its steps."""
    with suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    process.wait(60)


def schedule_says(project: Project, before: str, after: str) -> None:
    file = project.root / "jobs" / "retraining.py"
    text = file.read_text(encoding="utf-8")
    assert text.count(before) == 1
    file.write_text(text.replace(before, after), encoding="utf-8")


def ticks(instance: DagsterInstance, name: str, status: TickStatus) -> list[InstigatorTick]:
    states = [state for state in instance.all_instigator_state() if state.name == name]
    found = [tick for state in states for tick in instance.get_ticks(state.instigator_origin_id, state.selector_id)]
    return [tick for tick in found if tick.status == status]


def refreshes(instance: DagsterInstance, *statuses: DagsterRunStatus) -> list[DagsterRun]:
    """Runs of the job, the oldest first."""
    return list(instance.get_runs(RunsFilter(job_name="refresh_data", statuses=list(statuses)), ascending=True))


def status_of(instance: DagsterInstance, run: DagsterRun) -> DagsterRunStatus:
    found = instance.get_run_by_id(run.run_id)
    assert found is not None
    return found.status


def test_a_real_tick_launches_or_skips_and_its_run_is_finished_though_its_daemon_is_killed(
    project: Project, instance: DagsterInstance, tmp_path: Path
) -> None:
    log, params = tmp_path / "daemon.log", project.root / "params.yaml"
    recorded = params.read_text(encoding="utf-8")
    params.write_text("recipes: []\n", encoding="utf-8")
    schedule_says(project, "    DefaultSensorStatus,\n", "    DefaultScheduleStatus,\n    DefaultSensorStatus,\n")
    schedule_says(project, WEEKLY, AT_ONCE)
    with daemon(project, log) as first:
        [skipped, *_] = wait_until(
            lambda: ticks(instance, "weekly_retraining", TickStatus.SKIPPED), f"a tick that skips ({log})"
        )
        assert skipped.skip_reason == "params.yaml lists no recipe: `recops run --recipe R` adds one."
        params.write_text(recorded, encoding="utf-8")
        [run, *_] = wait_until(lambda: refreshes(instance, DagsterRunStatus.STARTED), f"a run of the schedule ({log})")
        assert (run.tags["dagster/partition"], run.tags[RETRAIN]) == (RECIPE, "weekly_retraining")
        assert run.tags["dagster/schedule_name"] == "weekly_retraining"

        first.kill()  # the daemon alone: its run is a process of its own, which the next daemon finds alive
        schedule_says(project, AT_ONCE, WEEKLY)
        with daemon(project, log) as second:
            layout = Layout(project.root, RECIPE)
            wait_until(lambda: [*layout.checkpoints("validated_splits").glob("*/mlflow_run_id")], f"its stage ({log})")
            assert status_of(instance, run) == DagsterRunStatus.STARTED
            kill_all(first)
            kill_all(second)
    assert status_of(instance, run) == DagsterRunStatus.STARTED, "nobody was left to say that it ended"
    made = verify(layout.artefact("raw_data"))
    assert not layout.artefact("validated_splits").exists()

    with listening() as hook, daemon(project, log, **{WEBHOOK: hook.address}):
        again = wait_until(lambda: retried(instance, run), f"the run that goes on ({log})")
        wait_until(lambda: status_of(instance, again) == DagsterRunStatus.SUCCESS, f"its end ({log})")
        [told] = wait_until(lambda: hook.posted, f"a message about the run that failed ({log})")
        assert (told["run_id"], told["recipe"], told["failed_steps"]) == (run.run_id, RECIPE, {})
        assert "has died" in told["text"]
    assert status_of(instance, run) == DagsterRunStatus.FAILURE
    assert {stats.step_key for stats in instance.get_run_step_stats(again.run_id)} >= {"validated_splits"}
    assert "raw_data" not in {stats.step_key for stats in instance.get_run_step_stats(again.run_id)}
    assert verify(layout.artefact("raw_data")) == made
    assert stages_of_mlflow(project, run) == {("raw_data", "FINISHED"), ("validated_splits", "FINISHED")}
    assert stages_of_mlflow(project, again) == set(), "the stage went on in the MLflow run that it had"


def retried(instance: DagsterInstance, run: DagsterRun) -> DagsterRun | None:
    """The run that Dagster started for one that died."""
    return next(iter(instance.get_runs(RunsFilter(tags={"dagster/parent_run_id": run.run_id}))), None)


def stages_of_mlflow(project: Project, run: DagsterRun) -> set[tuple[str, str]]:
    client = MlflowClient(tracking_uri=store_uri(project.root))
    experiment = client.get_experiment_by_name(RECIPE)
    assert experiment is not None
    found = client.search_runs([experiment.experiment_id], f"tags.dagster_run_id = '{run.run_id}'")
    return {(one.data.tags["stage"], one.info.status) for one in found}
