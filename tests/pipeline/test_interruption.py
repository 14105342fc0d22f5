"""Two starts, a signal in the middle, a killed parent: nothing half-written, and a retry that goes on."""

import os
import signal
import subprocess
import time
from collections import Counter
from collections.abc import Callable

import psutil
import pytest

from recops.artifacts import exclusive, read_json
from recops.paths import Layout
from recops.stage import STAGE_NAMES
from tests.pipeline.project import RECIPE, Project

# The first test of a file may pay for a whole run of the pipeline, on a machine that does other things too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]


def wait_until(condition: Callable[[], object], seconds: float = 300) -> None:
    deadline = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < deadline, "it did not happen in time"
        time.sleep(0.05)


def run_stage(project: Project, name: str, *, check: bool = True) -> tuple[int, str]:
    done = project.run("python", "-m", "recops.stages", name, "--recipe", RECIPE, check=check)
    return done.returncode, done.stderr


def test_a_second_start_says_who_holds_the_stage(project: Project) -> None:
    with exclusive(Layout(project.root, RECIPE).lock("raw_data")):
        code, words = run_stage(project, "raw_data", check=False)
    assert code == 2
    assert f"held by process {os.getpid()}" in words
    assert not Layout(project.root, RECIPE).artefact("raw_data").exists()


def test_a_signal_in_the_middle_leaves_a_checkpoint_from_which_the_retry_gives_the_same_bytes(project: Project) -> None:
    layout = Layout(project.root, RECIPE)
    run_stage(project, "raw_data")
    run_stage(project, "base_policy")
    whole = read_json(layout.artefact("base_policy") / "manifest.json")["files"]
    process = project.start("python", "-m", "recops.stages", "base_policy", "--recipe", RECIPE, "--force")
    wait_until(lambda: [*layout.checkpoints("base_policy").glob("*/base.pt")])
    process.send_signal(signal.SIGTERM)
    _, words = process.communicate(timeout=120)
    assert process.returncode == 130, words
    assert not layout.artefact("base_policy").with_name(".base_policy.partial").exists()
    assert read_json(layout.artefact("base_policy") / "manifest.json")["files"] == whole
    stopped = project.mlflow_runs()[0]
    assert stopped.info.status == "KILLED"
    run_stage(project, "base_policy")
    resumed = project.mlflow_runs()[0]
    assert (resumed.info.run_id, resumed.info.status) == (stopped.info.run_id, "FINISHED")
    assert read_json(layout.artefact("base_policy") / "manifest.json")["files"] == whole


def stages_of(process: subprocess.Popen[str]) -> list[psutil.Process]:
    return [one for one in psutil.Process(process.pid).children(recursive=True) if _runs_a_stage(one)]


def _runs_a_stage(process: psutil.Process) -> bool:
    try:
        return "assets.child" in process.cmdline()
    except psutil.NoSuchProcess:  # it ended while the list was read, or waits for its parent to notice
        return False


def test_a_killed_step_takes_its_stage_with_it_and_its_run_ends_well_from_the_checkpoint(project: Project) -> None:
    layout = Layout(project.root, RECIPE)
    process = project.start("python", "-m", "recops.cli", "run", "--recipe", RECIPE)
    wait_until(lambda: [*layout.checkpoints("base_policy").glob("*/base.pt")])
    stages = stages_of(process)
    for step in [stage.parent() for stage in stages]:
        assert step is not None
        step.send_signal(signal.SIGKILL)
    _, alive = psutil.wait_procs(stages, timeout=60)
    assert not alive
    assert not layout.artefact("base_policy").exists()
    words, _ = process.communicate(timeout=1500)
    assert process.returncode == 0, words
    assert "base_policy is tried again" in words
    runs = project.mlflow_runs()
    made = Counter(run.data.tags["stage"] for run in runs)
    assert made == dict.fromkeys(STAGE_NAMES, 1), "the second attempt went on in the first one's run, once"
    assert {run.info.status for run in runs} == {"FINISHED"}


def test_a_run_that_begins_where_nothing_was_made_says_what_is_missing(project: Project) -> None:
    done = project.run("python", "-m", "recops.cli", "run", "--recipe", RECIPE, "--from", "ppr_model", check=False)
    assert done.returncode == 1
    assert "ppr_model: " in done.stdout
    assert "found no manifest" in done.stdout


def test_a_signal_to_the_run_stops_the_stage_and_a_second_one_kills_it(project: Project) -> None:
    layout = Layout(project.root, RECIPE)
    process = project.start("python", "-m", "recops.cli", "run", "--recipe", RECIPE)
    wait_until(lambda: layout.checkpoints("base_policy").is_dir())
    stages = stages_of(process)
    for _ in range(2):
        process.send_signal(signal.SIGINT)
        time.sleep(0.5)
    process.communicate(timeout=120)
    assert process.returncode == 130
    _, alive = psutil.wait_procs(stages, timeout=60)
    assert not alive
