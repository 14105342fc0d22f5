"""The jobs of Dagster that promote and that measure a champion, on a project of its own."""

import json
import os
import subprocess
import sys

import pytest

from recops.config.recipe import load_recipe
from recops.paths import Layout
from recops.registry.model_registry import ModelRegistry
from recops.registry.register import register
from recops.registry.scores import champion_scores
from tests.pipeline.project import CHECKOUT
from tests.recops.registry.project import NAME, change_recipe, flatter

EXECUTE = f"""
import json, sys
from dagster import DagsterInstance
from jobs.definitions import defs
with DagsterInstance.ephemeral() as instance:
    result = defs.resolve_job_def(sys.argv[1]).execute_in_process(
        partition_key={NAME!r}, instance=instance, raise_on_error=False)
    facts = [event.event_specific_data.metadata for event in result.all_events if event.is_successful_output]
    told = {{key: value.value for key, value in facts[0].items()}} if facts else {{}}
    print("RESULT", json.dumps([result.success, instance.get_run_by_id(result.run_id).tags, told]))
"""


def executed(layout: Layout, job: str = "promote") -> tuple[bool, dict[str, str], dict[str, str]]:
    environment = {**os.environ, "RECOPS_ROOT": str(layout.root), "DAGSTER_HOME": str(layout.root)}
    command = [sys.executable, "-c", EXECUTE, job]
    done = subprocess.run(command, cwd=CHECKOUT, env=environment, capture_output=True, text=True, check=True)
    [line] = [line for line in done.stdout.splitlines() if line.startswith("RESULT ")]
    success, tags, told = json.loads(line.removeprefix("RESULT "))
    return success, tags, told


@pytest.mark.slow
def test_a_refusal_is_a_decision_and_a_missing_model_a_failure(layout: Layout) -> None:
    success, _, _ = executed(layout)
    assert not success
    flatter(layout)
    register(layout, load_recipe(layout.recipe_file))
    change_recipe(layout, "promotion", max_latency_p95_seconds=1e-9)
    success, tags, told = executed(layout)
    assert success
    assert tags["recops/decision"] == "refused"
    assert told["decision"] == "small version 1 is refused; there is no champion"
    assert "| latency, 95 % of requests |" in told["conditions"]
    change_recipe(layout, "promotion", max_latency_p95_seconds=600.0)
    success, tags, told = executed(layout)
    assert (success, tags["recops/decision"]) == (True, "promoted")
    assert "/runs/" in told["mlflow_run"]


@pytest.mark.slow
def test_a_champion_is_measured_by_its_job_and_its_score_is_what_the_sensor_reads(layout: Layout) -> None:
    success, _, _ = executed(layout, "measure_champion")
    assert not success, "there is no champion"
    flatter(layout)
    version = register(layout, load_recipe(layout.recipe_file)).version
    ModelRegistry(layout.root, NAME).crown(version.number)
    success, _, told = executed(layout, "measure_champion")
    assert success
    scores = champion_scores(layout.root, NAME)
    assert not isinstance(scores, str)
    assert (scores.version, scores.newest) == (told["version"], told["ndcg_at_10"])
    assert told["mlflow_run"].endswith(scores.run_id)
