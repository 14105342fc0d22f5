"""The schedule and the sensors around retraining: evaluated with a real instance, on real data and real manifests."""

import json
import shutil
from collections.abc import Iterator
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest
import yaml
from dagster import (
    AssetKey,
    DagsterInstance,
    SensorEvaluationContext,
    build_run_status_sensor_context,
    build_schedule_context,
    build_sensor_context,
)
from dagster._core.definitions.sensor_definition import SensorExecutionData

from jobs.definitions import defs
from jobs.retraining import RETRAIN, retrain
from recops.artifacts import MANIFEST, content_sha256, read_json, write_json, write_manifest
from recops.config.recipe import load_recipe
from recops.outdated import DATA, outdated_by_data
from recops.paths import Layout
from recops.runner import run_stage
from recops.stage import STAGE_NAMES, STAGES, StageName
from tests.pipeline.project import CHECKOUT, commit, create_project, tiny_recipe

RECIPE = "embedded"
"""A partition of the code location; in these tests' roots it is a small one."""
SHOP = "own_files"


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("RECOPS_ROOT", str(tmp_path))
    monkeypatch.setenv("RECOPS_DATA", str(tmp_path / "source"))
    (tmp_path / "recipes").mkdir()
    for name in (RECIPE, SHOP):
        shutil.copy2(CHECKOUT / "recipes" / f"{name}.yaml", tmp_path / "recipes")
    record(tmp_path, RECIPE)
    return tmp_path


def record(root: Path, *recipes: str) -> None:
    (root / "params.yaml").write_text(yaml.safe_dump({"recipes": list(recipes)}), encoding="utf-8")


@pytest.fixture
def instance() -> Iterator[DagsterInstance]:
    with DagsterInstance.ephemeral() as instance:
        yield instance


def tick(name: str, instance: DagsterInstance, cursor: str | None) -> SensorExecutionData:
    context: SensorEvaluationContext = build_sensor_context(
        instance=instance, cursor=cursor, definitions=defs, sensor_name=name
    )
    return defs.resolve_sensor_def(name).evaluate_tick(context)


def write_shop(folder: Path, num_events: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    events = [f"u{n % 5},i{n % 7},2024-05-{n % 28 + 1:02}T12:00:00Z,{n % 5 + 1},purchase" for n in range(num_events)]
    (folder / "events_1.csv").write_text("customer,sku,time,stars,kind\n" + "\n".join(events), encoding="utf-8")
    items = [f"i{n},Thing {n},Tools,{n}.5" for n in range(7)]
    (folder / "products.csv").write_text("sku,name,category,price\n" + "\n".join(items), encoding="utf-8")


def make(root: Path, recipe: str, *stages: StageName) -> None:
    layout = Layout(root, recipe)
    for stage in stages:
        run_stage(stage, recipe=load_recipe(layout.recipe_file), layout=layout)


def test_new_files_of_a_recipe_ask_once_for_a_refresh(root: Path, instance: DagsterInstance) -> None:
    record(root, RECIPE, SHOP)
    source = root / "source" / "own_files"
    write_shop(source, 30)
    make(root, SHOP, "raw_data")
    first = tick("new_raw_data", instance, None)
    assert not first.run_requests
    assert f"{SHOP}: the files are those that raw_data was read from" in str(first.skip_message)
    assert f"{RECIPE}: its source reads no files" in str(first.skip_message)

    (source / "events_1.csv").touch()
    touched = tick("new_raw_data", instance, first.cursor)
    assert not touched.run_requests

    write_shop(source, 31)
    [request] = tick("new_raw_data", instance, touched.cursor).run_requests or []
    assert (request.partition_key, request.tags[RETRAIN]) == (SHOP, "new_raw_data")
    again = tick("new_raw_data", instance, tick("new_raw_data", instance, touched.cursor).cursor)
    assert not again.run_requests
    assert "a refresh was asked for" in str(again.skip_message)

    make(root, SHOP, "raw_data")
    done = tick("new_raw_data", instance, again.cursor)
    assert "the files are those that raw_data was read from" in str(done.skip_message)


def test_files_that_did_not_change_are_not_read_again(root: Path, instance: DagsterInstance) -> None:
    record(root, SHOP)
    source = root / "source" / "own_files"
    write_shop(source, 30)
    make(root, SHOP, "raw_data")
    cursor = tick("new_raw_data", instance, None).cursor
    told = json.loads(cursor or "")
    told[SHOP]["sha256"] = "kept from the last tick"
    kept = json.loads(tick("new_raw_data", instance, json.dumps(told)).cursor or "")
    assert kept[SHOP]["sha256"] == "kept from the last tick"


def test_a_recipe_that_was_never_run_or_lacks_its_files_is_left_alone(root: Path, instance: DagsterInstance) -> None:
    record(root, SHOP)
    missing = tick("new_raw_data", instance, None)
    assert "no such folder" in str(missing.skip_message)
    write_shop(root / "source" / "own_files", 30)
    never = tick("new_raw_data", instance, missing.cursor)
    assert not never.run_requests
    assert f"{SHOP}: never run" in str(never.skip_message)


def test_the_schedule_refreshes_every_recorded_recipe_and_says_why_there_is_none(
    root: Path, instance: DagsterInstance
) -> None:
    record(root, RECIPE, SHOP)
    schedule = defs.resolve_schedule_def("weekly_retraining")
    sunday = datetime(2026, 11, 22, 3, tzinfo=UTC)
    context = build_schedule_context(
        instance, scheduled_execution_time=sunday, repository_def=defs.get_repository_def()
    )
    requests = schedule.evaluate_tick(context).run_requests or []
    assert schedule.job_name == "refresh_data"
    assert [(one.partition_key, one.tags[RETRAIN]) for one in requests] == [
        (RECIPE, "weekly_retraining"),
        (SHOP, "weekly_retraining"),
    ]
    record(root)
    data = schedule.evaluate_tick(context)
    assert not data.run_requests
    assert "lists no recipe" in str(data.skip_message)


def trained(root: Path) -> None:
    """Put small artefacts of every trained stage there; by their manifests they were made from what lies there."""
    layout = Layout(root, RECIPE)
    for name in STAGE_NAMES:
        if name in DATA:
            continue
        folder = layout.artefact(name)
        folder.mkdir(parents=True, exist_ok=True)
        write_json(folder / "report.json", {})
        inputs = {
            read: content_sha256(read_json(layout.artefact(read) / MANIFEST)["files"])
            for read in STAGES[name].reads
            if read in DATA
        }
        write_manifest(folder, {"stage": name, "inputs": inputs})


def small(root: Path) -> Path:
    content = {**tiny_recipe(), "name": RECIPE}
    (root / "recipes" / f"{RECIPE}.yaml").write_text(yaml.safe_dump(content), encoding="utf-8")
    return root


@pytest.mark.slow
def test_what_was_made_from_other_data_is_named(root: Path) -> None:
    make(small(root), RECIPE, "raw_data", "validated_splits")
    layout = Layout(root, RECIPE)
    trained(root)
    assert outdated_by_data(layout) == []
    shutil.rmtree(layout.artefact("ppr_model"))
    assert [str(one) for one in outdated_by_data(layout)] == ["ppr_model is not there"]
    trained(root)
    recipe = yaml.safe_load(layout.recipe_file.read_text(encoding="utf-8"))
    recipe["raw_data"]["source"]["num_users"] += 1
    layout.recipe_file.write_text(yaml.safe_dump(recipe), encoding="utf-8")
    make(root, RECIPE, "raw_data", "validated_splits")
    outdated = outdated_by_data(layout)
    assert {(one.stage, one.read) for one in outdated} == {
        (stage.name, read)
        for stage in STAGES.values()
        for read in stage.reads
        if read in DATA and stage.name not in DATA
    }


@pytest.mark.slow
def test_two_versions_of_the_data_can_be_compared_by_the_dates_of_their_slices(root: Path) -> None:
    make(small(root), RECIPE, "raw_data", "validated_splits")
    manifest = read_json(Layout(root, RECIPE).artefact("validated_splits") / MANIFEST)
    splits = pl.read_parquet(Layout(root, RECIPE).artefact("validated_splits") / "interactions.parquet")
    for name, facts in manifest["report"]["slices"].items():
        times = splits.filter(pl.col("slice") == name)["timestamp"]
        for key, value in (("first_time", times.min()), ("last_time", times.max())):
            assert datetime.fromisoformat(facts[key]).timestamp() * 1000 == pytest.approx(value, abs=1)


@pytest.mark.slow
@pytest.mark.timeout(300)
def test_a_refresh_that_the_schedule_asked_for_is_followed_by_training_only_where_the_data_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, instance: DagsterInstance
) -> None:
    project = create_project(tmp_path / "checkout")
    root = small(project.root)
    record(root, RECIPE)
    project.run("python", "-m", "recops.cli", "dvc-yaml")
    commit(project, "One recipe")
    monkeypatch.setenv("RECOPS_ROOT", str(root))
    monkeypatch.setenv("PATH", project.environment["PATH"])  # of DVC, which this checkout has in an environment
    before = tick("retrain", instance, None).cursor
    job, asked = defs.resolve_job_def("refresh_data"), {RETRAIN: "weekly_retraining"}
    done = job.execute_in_process(partition_key=RECIPE, instance=instance, tags=asked)
    assert done.success

    [request] = tick("retrain", instance, before).run_requests or []
    assert request.partition_key == RECIPE
    assert set(request.asset_selection or []) == {AssetKey(name) for name in STAGE_NAMES if name not in DATA}
    assert request.tags[RETRAIN] == "weekly_retraining"

    trained(root)
    unchanged = tick("retrain", instance, before)
    assert not unchanged.run_requests
    assert f"{RECIPE}: nothing changed" in str(unchanged.skip_message)

    run = instance.get_run_by_id(done.run_id)
    assert run is not None
    by_hand = build_run_status_sensor_context(
        sensor_name="retrain",
        dagster_event=done.get_run_success_event(),
        dagster_instance=instance,
        dagster_run=run.with_tags({"dagster/partition": RECIPE}),
    )
    assert "started by a person" in str(retrain(by_hand).skip_message)
