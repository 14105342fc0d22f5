"""A re-execution from failure, and a child that was killed: the run ends well, and makes no finished work again."""

import json
import signal
import subprocess
from typing import Any

import pytest

from recops.paths import Layout
from recops.pipeline_run import PIPELINE
from tests.pipeline.project import RECIPE, Project
from tests.pipeline.test_interruption import stages_of, wait_until

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]

_FROM_FAILURE = """
import json, sys
from dagster import DagsterInstance, ReexecutionOptions, execute_job
from dagster._core.definitions.reconstruct import ReconstructableRepository
from recops import environment

environment.prepare()
with DagsterInstance.get() as instance:
    [failed] = instance.get_runs()
    job = ReconstructableRepository.for_module("jobs.definitions", "defs", ".").get_reconstructable_job(failed.job_name)
    options = ReexecutionOptions.from_failure(failed.run_id, instance)
    done = execute_job(job, instance, tags=failed.tags, reexecution_options=options)
    made = [event.step_key for event in done.all_events if event.is_step_success]
    print(json.dumps({"first": failed.status.value, "success": done.success, "made": made}))
"""
"""What the button *Re-execute, From failure* of Dagster's page asks for."""


def refresh(project: Project) -> subprocess.Popen[str]:
    return project.start("python", "-m", "recops.cli", "run", "--recipe", RECIPE, "--job", "refresh_data")


def with_min_users(project: Project, count: int) -> None:
    recipe: dict[str, Any] = project.recipe()
    recipe["validated_splits"]["validation"]["min_users"] = count
    project.write_recipe(recipe)


def test_reexecution_from_failure_makes_only_what_is_not_finished(project: Project) -> None:
    users = project.recipe()["validated_splits"]["validation"]["min_users"]
    with_min_users(project, 10**6)
    first = refresh(project)
    words, _ = first.communicate(timeout=300)
    assert first.returncode == 1, words
    with_min_users(project, users)
    again = json.loads(project.run("python", "-c", _FROM_FAILURE).stdout.splitlines()[-1])
    assert (again["first"], again["success"]) == ("FAILURE", True)
    assert "validated_splits" in again["made"]
    assert "raw_data" not in again["made"]
    [made] = project.mlflow_runs("tags.stage = 'raw_data'")
    assert made.info.status == "FINISHED"
    [whole] = project.mlflow_runs(f"tags.{PIPELINE} != ''")
    assert whole.info.status == "FINISHED", "the re-execution is the same whole"


def test_a_killed_child_is_tried_again_and_what_was_finished_is_not(project: Project) -> None:
    layout = Layout(project.root, RECIPE)
    process = refresh(project)
    wait_until(lambda: layout.lock("validated_splits").is_file())
    [child] = stages_of(process)
    child.send_signal(signal.SIGKILL)
    words, _ = process.communicate(timeout=300)
    assert process.returncode == 0, words
    assert "validated_splits is tried again\n" in words
    assert "killed by SIGKILL" in " ".join(words.split()), "a line may be folded"
    for stage in ("raw_data", "validated_splits"):
        [run] = project.mlflow_runs(f"tags.stage = '{stage}'")
        assert run.info.status == "FINISHED", "one run of each stage, which the second attempt went on in"
