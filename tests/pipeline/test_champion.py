"""The sensors around the champion, on a real store of MLflow that the test fills."""

import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
import yaml
from dagster import (
    AssetKey,
    AssetMaterialization,
    DagsterEvent,
    DagsterEventType,
    DagsterInstance,
    DagsterRunStatus,
    RunRequest,
    SkipReason,
    build_run_status_sensor_context,
    build_sensor_context,
)
from dagster._core.definitions.sensor_definition import SensorExecutionData

from jobs.champion import play_fresh_data
from jobs.definitions import defs
from jobs.retraining import RETRAIN
from recops.artifacts import MANIFEST, content_sha256, write_json
from recops.config.recipe import load_recipe
from recops.outdated import DATA
from recops.paths import Layout
from recops.registry.model_registry import CHAMPION, ModelRegistry, registry_run
from recops.registry.scores import MEASURE, SCORE
from recops.stage import STAGE_NAMES, STAGES
from recops.tracking import open_client
from tests.pipeline.project import CHECKOUT

RECIPE = "embedded"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECOPS_ROOT", str(tmp_path))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    (tmp_path / "recipes").mkdir()
    shutil.copy2(CHECKOUT / "recipes" / f"{RECIPE}.yaml", tmp_path / "recipes")
    (tmp_path / "params.yaml").write_text(yaml.safe_dump({"recipes": [RECIPE]}), encoding="utf-8")
    return tmp_path


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def tick(instance: DagsterInstance) -> SensorExecutionData:
    context = build_sensor_context(instance=instance, definitions=defs, sensor_name="champion_drop")
    return defs.resolve_sensor_def("champion_drop").evaluate_tick(context)


def tick_of_moved(instance: DagsterInstance, cursor: str | None) -> SensorExecutionData:
    context = build_sensor_context(instance=instance, definitions=defs, sensor_name="champion_moved", cursor=cursor)
    return defs.resolve_sensor_def("champion_moved").evaluate_tick(context)


def crown(root: Path, score: float) -> int:
    client, registry = open_client(root), ModelRegistry(root, RECIPE)
    if registry.aliased(CHAMPION) is None:
        client.create_registered_model(RECIPE)
    version = int(client.create_model_version(RECIPE, str(root), tags={SCORE: f"{score:.4f}"}).version)
    client.set_registered_model_alias(RECIPE, CHAMPION, str(version))
    return version


def measure(root: Path, version: int, score: float) -> str:
    with registry_run(root, RECIPE, action=MEASURE, parameters={}, tags={CHAMPION: str(version)}) as tracker:
        tracker.log_metrics({SCORE: score}, step=None)
    return tracker.run_id


def write_manifests(root: Path, data: str, *, models_made_from: str) -> None:
    """Write what the sensor reads of artefacts: the data's hashes, and from which data each model was made."""
    layout = Layout(root, RECIPE)
    hashes = {name: content_sha256({"file": f"{name} {models_made_from}"}) for name in DATA}
    for stage in STAGE_NAMES:
        folder = layout.artefact(stage)
        folder.mkdir(parents=True, exist_ok=True)
        inputs = {read: hashes[read] for read in STAGES[stage].reads if read in DATA}
        write_json(folder / MANIFEST, {"files": {"file": f"{stage} {data}"}, "inputs": inputs})


def test_a_champion_that_lost_more_than_the_margin_on_fresh_data_asks_for_training(
    root: Path, instance: DagsterInstance
) -> None:
    write_manifests(root, "newer", models_made_from="older")
    assert "no champion" in str(tick(instance).skip_message)
    version = crown(root, 0.5)
    assert "not measured on fresh data yet" in str(tick(instance).skip_message)
    margin = load_recipe(Layout(root, RECIPE).recipe_file).promotion.margin
    measure(root, version, 0.5 - 0.9 * margin)
    held = tick(instance)
    assert not held.run_requests
    assert "had NDCG@10 0.5000" in str(held.skip_message)
    run_id = measure(root, version, 0.5 - 1.1 * margin)
    [request] = tick(instance).run_requests or []
    assert (request.partition_key, request.run_key) == (RECIPE, f"{RECIPE} {run_id}")
    assert request.tags[RETRAIN] == "champion_drop"
    assert set(request.asset_selection or []) == {AssetKey(name) for name in STAGE_NAMES if name not in DATA}


def test_what_another_version_scored_is_not_the_champions(root: Path, instance: DagsterInstance) -> None:
    before = crown(root, 0.5)
    measure(root, before, 0.1)
    crown(root, 0.6)
    assert "version 2 was not measured on fresh data yet" in str(tick(instance).skip_message)


def test_no_training_is_asked_for_where_nothing_newer_is_to_learn_from_or_one_is_under_way(
    root: Path, instance: DagsterInstance
) -> None:
    measure(root, crown(root, 0.5), 0.1)
    write_manifests(root, "newer", models_made_from="newer")
    assert "run the job promote" in str(tick(instance).skip_message)
    write_manifests(root, "newer", models_made_from="older")
    queued = {"dagster/partition": RECIPE}
    run = instance.create_run_for_job(
        defs.resolve_job_def("full_pipeline"), status=DagsterRunStatus.STARTED, tags=queued
    )
    assert "a training is under way" in str(tick(instance).skip_message)
    instance.delete_run(run.run_id)
    instance.create_run_for_job(
        defs.resolve_job_def("full_pipeline"), status=DagsterRunStatus.STARTED, tags={"dagster/partition": "another"}
    )
    assert len(tick(instance).run_requests or []) == 1, "what another recipe trains is no reason to wait"


@pytest.mark.parametrize(("tags", "is_crowned"), [({}, True), ({RETRAIN: "weekly_retraining"}, False)])
def test_a_champion_plays_after_a_refresh_that_is_a_retraining_and_only_if_there_is_one(
    root: Path, instance: DagsterInstance, tags: dict[str, str], is_crowned: bool
) -> None:
    if is_crowned:
        crown(root, 0.5)
    assert isinstance(after_refresh(instance, tags), SkipReason)
    crown(root, 0.5)
    request = after_refresh(instance, {RETRAIN: "weekly_retraining"})
    assert isinstance(request, RunRequest)
    assert (request.partition_key, request.tags[RETRAIN]) == (RECIPE, "weekly_retraining")


def after_refresh(instance: DagsterInstance, tags: dict[str, str]) -> RunRequest | SkipReason:
    """Ask `play_fresh_data` about a refresh that has just succeeded."""
    job = defs.resolve_job_def("refresh_data")
    run = instance.create_run_for_job(job, tags={"dagster/partition": RECIPE, **tags})
    context = build_run_status_sensor_context(
        sensor_name="play_fresh_data",
        dagster_event=DagsterEvent(DagsterEventType.RUN_SUCCESS.value, job.name),
        dagster_instance=instance,
        dagster_run=run,
    )
    answer = play_fresh_data(context)
    assert isinstance(answer, RunRequest | SkipReason)
    return answer


def test_the_catalog_is_told_of_every_version_that_becomes_champion_once(root: Path, instance: DagsterInstance) -> None:
    assert "no run was recorded yet" in str(tick_of_moved(instance, None).skip_message)
    assert not (root / "mlflow.db").exists()
    client = open_client(root)
    client.create_registered_model("another")
    assert "no recipe has a champion" in str(tick_of_moved(instance, None).skip_message)
    cursor: str | None = None
    for version, score in ((1, 0.5), (2, 0.6), (1, 0.5)):  # the last one is rolled back to
        if version > len(client.search_model_versions(f"name = '{RECIPE}'")):
            crown(root, score)
        client.set_registered_model_alias(RECIPE, CHAMPION, str(version))
        told = tick_of_moved(instance, cursor)
        [event] = told.asset_events
        assert isinstance(event, AssetMaterialization)
        assert (event.asset_key, event.partition) == (AssetKey("champion"), RECIPE)
        assert event.metadata["version"].value == version
        assert event.metadata[SCORE].value == score
        assert str(event.metadata["mlflow_version"].value).endswith(f"/#/models/{RECIPE}/versions/{version}")
        cursor = told.cursor
        assert f"version {version}, as before" in str(tick_of_moved(instance, cursor).skip_message)
