"""Two runs meet in a pool: the second waits, and gets the place of the first when that was killed."""

import logging
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import psutil
import pytest
from dagster import DagsterInstance, DagsterRun, DagsterRunStatus, RunsFilter
from dagster._core.workspace.context import WorkspaceProcessContext
from dagster._core.workspace.load_target import EmptyWorkspaceTarget
from dagster._daemon.monitoring.concurrency import execute_concurrency_slots_iteration
from dagster._daemon.monitoring.run_monitoring import execute_run_monitoring_iteration

from tests.pipeline.project import CHECKOUT

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

Start = Callable[[str, Path, Mapping[str, str]], subprocess.Popen[bytes]]
_WITHOUT_GPU = {"CUDA_VISIBLE_DEVICES": ""}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    """A Dagster instance with the settings of the repository, that gives places back without waiting."""
    text = (CHECKOUT / "dagster.yaml").read_text(encoding="utf-8")
    waiting = "free_slots_after_run_end_seconds: 30"
    assert waiting in text
    (tmp_path / "dagster.yaml").write_text(text.replace(waiting, waiting.replace("30", "1")), encoding="utf-8")
    return tmp_path


@pytest.fixture
def with_gpu(tmp_path: Path) -> dict[str, str]:
    """The environment of a machine whose driver lists a GPU and whose torch was built for it, as programs see it."""
    driver, torch = tmp_path / "bin" / "nvidia-smi", tmp_path / "site" / "torch-2.13.0.dist-info" / "METADATA"
    for file in (driver, torch):
        file.parent.mkdir(parents=True)
    driver.write_text("#!/bin/sh\necho 'NVIDIA H200, 143000, 143771'\n", encoding="utf-8")
    driver.chmod(0o755)
    torch.write_text("Metadata-Version: 2.1\nName: torch\nVersion: 2.13.0\n", encoding="utf-8")
    path = f"{driver.parent}{os.pathsep}{os.environ['PATH']}"
    return {"PATH": path, "PYTHONPATH": f"{torch.parent.parent}{os.pathsep}{CHECKOUT}", "CUDA_VISIBLE_DEVICES": "0"}


@pytest.fixture
def start(home: Path) -> Iterator[Start]:
    started: list[subprocess.Popen[bytes]] = []

    def run(work: str, file: Path, machine: Mapping[str, str]) -> subprocess.Popen[bytes]:
        command = [sys.executable, "-m", "tests.pipeline.pooled_run", work, str(file)]
        environment = {**os.environ, "DAGSTER_HOME": str(home), "PYTHONPATH": str(CHECKOUT), **machine}
        quiet = subprocess.DEVNULL
        started.append(subprocess.Popen(command, cwd=CHECKOUT, env=environment, stdout=quiet, stderr=quiet))
        return started[-1]

    yield run
    for process in started:
        if process.poll() is None:
            kill(process)


def kill(process: subprocess.Popen[bytes]) -> None:
    """The run and its step at once, so that neither can say anything."""
    for one in [*psutil.Process(process.pid).children(recursive=True), process]:
        one.send_signal(signal.SIGKILL)
    process.wait(60)


def wait_until(condition: Callable[[], object], seconds: float = 180) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.2)


def run_of(instance: DagsterInstance, file: Path) -> DagsterRun:
    [run] = instance.get_runs(RunsFilter(tags={"file": str(file)}))
    return run


@pytest.mark.parametrize(("name", "work"), [("gpu", "train"), ("training", "train"), ("dvc", "record")])
def test_the_second_waits_and_gets_the_place_of_a_run_that_was_killed(
    name: str, work: str, home: Path, start: Start, with_gpu: dict[str, str]
) -> None:
    machine = with_gpu if name == "gpu" else _WITHOUT_GPU
    one, other, training = home / "one", home / "other", home / "training"
    with DagsterInstance.from_config(str(home)) as instance:
        pool = instance.event_log_storage.get_concurrency_info
        first = start(work, one, machine)
        wait_until(lambda: pool(name).active_slot_count == 1)
        second = start(work, other, machine)
        wait_until(lambda: pool(name).pending_step_count == 1)
        assert pool(name).active_run_ids == {run_of(instance, one).run_id}
        if name == "dvc":
            start("train", training, machine)
            wait_until(lambda: pool("training").active_slot_count == 1)
            assert pool(name).pending_step_count == 1, "a training waits for no data, nor data for it"
            training.touch()

        look(instance)
        assert run_of(instance, one).status == DagsterRunStatus.STARTED, "its process lives"
        kill(first)
        look(instance)
        assert run_of(instance, one).status == DagsterRunStatus.FAILURE
        assert run_of(instance, other).status == DagsterRunStatus.STARTED

        def has_the_place() -> bool:
            look(instance)
            return pool(name).active_run_ids == {run_of(instance, other).run_id}

        wait_until(has_the_place)
        other.touch()
        assert second.wait(180) == 0


def look(instance: DagsterInstance) -> None:
    """What the daemon does every half minute."""
    with WorkspaceProcessContext(instance, EmptyWorkspaceTarget()) as workspace:
        for iteration in (execute_run_monitoring_iteration, execute_concurrency_slots_iteration):
            assert [found for found in iteration(workspace, logging.getLogger("test")) if found] == []
