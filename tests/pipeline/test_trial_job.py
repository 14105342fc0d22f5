"""The job `trial` on a small recipe, with the real stages that take a second, in the real child process."""

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import (
    AssetKey,
    DagsterInstance,
    DagsterInvalidConfigError,
    ExecuteInProcessResult,
    Failure,
    PipesSubprocessClient,
    build_op_context,
)
from dagster._core.errors import DagsterConfigMappingFunctionError

from jobs.definitions import defs
from jobs.trial import RecipeName, ThroughStage, TrialConfig, run_trial
from recops.artifacts import MANIFEST, read_json
from recops.config.recipe import load_recipe
from recops.paths import Layout
from recops.runner import run_stage
from tests.pipeline.project import tiny_recipe

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

RECIPE = "embedded"
KEY = "validated_splits.candidates.num_candidates"


@pytest.fixture(scope="module")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root whose recipe has the name of a partition; its data is finished."""
    root = tmp_path_factory.mktemp("root")
    layout = Layout(root, RECIPE)
    layout.recipe_file.parent.mkdir()
    layout.recipe_file.write_text(yaml.safe_dump({**tiny_recipe(), "name": RECIPE}), encoding="utf-8")
    for stage in ("raw_data", "validated_splits"):
        run_stage(stage, recipe=load_recipe(layout.recipe_file), layout=layout)
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    root = Path(shutil.copytree(finished, tmp_path / "root"))
    monkeypatch.setenv("RECOPS_ROOT", str(root))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    return root


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def start(instance: DagsterInstance, overrides: dict[str, Any]) -> ExecuteInProcessResult:
    config = {"recipe": RECIPE, "overrides": overrides, "through": "validated_splits"}
    return defs.resolve_job_def("trial").execute_in_process(run_config=config, instance=instance, raise_on_error=False)


def test_a_trial_observes_what_it_changed_beside_the_recipes_own_and_materializes_nothing(
    root: Path, instance: DagsterInstance
) -> None:
    before = read_json(Layout(root, RECIPE).artefact("validated_splits") / MANIFEST)
    result = start(instance, {KEY: 5})
    assert result.success
    [event] = [event for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"]
    seen = event.asset_observation_data.asset_observation
    assert (seen.asset_key, seen.partition) == (AssetKey("validated_splits"), RECIPE)
    assert f"| {KEY} | 6 | 5 |" in seen.metadata["overrides"].value
    artefact = Path(seen.metadata["artefact"].value)
    assert artefact.parent == root / "runs" / RECIPE / "validated_splits"
    manifest = read_json(artefact / MANIFEST)
    assert seen.metadata["fingerprint"].value == manifest["fingerprint"] != before["fingerprint"]
    assert seen.metadata["num_samples"].value == manifest["report"]["num_samples"]
    assert "Every number is the recipe's own." in seen.metadata["beside_the_recipe"].value
    assert "/#/experiments/" in seen.metadata["mlflow_run"].value
    assert not instance.get_latest_materialization_event(AssetKey("validated_splits"))
    assert read_json(Layout(root, RECIPE).artefact("validated_splits") / MANIFEST) == before
    tags = instance.get_run_by_id(result.run_id).tags
    assert (tags["recipe"], tags[f"override/{KEY}"]) == (RECIPE, "5")


def test_numbers_that_differ_stand_beside_the_recipes_and_a_second_trial_makes_nothing(
    root: Path, instance: DagsterInstance
) -> None:
    for origin in ("run", "earlier"):
        result = start(instance, {"validated_splits.min_interactions_per_user": 8})
        [event] = [event for event in result.all_events if event.event_type_value == "ASSET_OBSERVATION"]
        metadata = event.asset_observation_data.asset_observation.metadata
        assert metadata["origin"].value == origin
        [row] = [line for line in metadata["beside_the_recipe"].value.splitlines() if line.startswith("| num_users |")]
        own, trial, difference = (float(cell) for cell in row.split("|")[2:5])
        assert own > trial
        assert difference == trial - own


@pytest.mark.parametrize(
    ("overrides", "words"),
    [
        ({"validated_splits.candidates.num_candidatez": 5}, "a key of the recipe, here num_candidates"),
        ({KEY: "many"}, f"{KEY}: Input should be a valid integer"),
        ({KEY: 1}, KEY),
    ],
)
def test_a_wrong_key_or_value_is_refused_before_there_is_a_run(
    root: Path, instance: DagsterInstance, overrides: dict[str, Any], words: str
) -> None:
    with pytest.raises(DagsterConfigMappingFunctionError) as refused:
        start(instance, overrides)
    assert words in str(refused.value.__cause__)
    assert not instance.get_runs()
    assert not (root / "runs").exists()


def test_a_recipe_that_changed_while_the_run_waited_fails_before_any_work_and_is_not_tried_again(root: Path) -> None:
    file = Layout(root, RECIPE).recipe_file
    file.write_text(file.read_text(encoding="utf-8").replace("num_candidates", "num_candidatez"), encoding="utf-8")
    config = TrialConfig(recipe=RecipeName[RECIPE], overrides={KEY: 5}, through=ThroughStage["validated_splits"])
    with pytest.raises(Failure, match="num_candidatez") as failed:
        run_trial(build_op_context(), config=config, pipes=PipesSubprocessClient())
    assert failed.value.allow_retries is False
    assert not (root / "runs").exists()


def test_a_trial_needs_an_override_and_a_known_stage(root: Path, instance: DagsterInstance) -> None:
    with pytest.raises(DagsterInvalidConfigError, match="grpo_modell"):
        defs.resolve_job_def("trial").execute_in_process(
            run_config={"recipe": RECIPE, "overrides": {"seed": 1}, "through": "grpo_modell"}, instance=instance
        )
    with pytest.raises(DagsterConfigMappingFunctionError):
        start(instance, {})
    assert not instance.get_runs()
    assert not (root / "runs").exists()
