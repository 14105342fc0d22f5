"""Runs of a finished project are made again in folders of their own: pulled, computed, with a trial's overrides."""

import json
import shutil
from pathlib import Path

import pytest
import yaml
from mlflow import MlflowClient

from recops.artifacts import verify
from recops.paths import Layout
from recops.stage import STAGE_NAMES, StageName
from recops.tracking import store_uri
from tests.pipeline.conftest import FinishedRun
from tests.pipeline.project import RECIPE, Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

EXIT_BAD_INPUT, EXIT_DIFFERENT = 2, 3


def run_of(project: Project, stage: StageName, condition: str = "") -> str:
    client = MlflowClient(tracking_uri=store_uri(project.root))
    experiment = client.get_experiment_by_name(RECIPE)
    assert experiment is not None
    wanted = f"tags.stage = '{stage}' and attributes.status = 'FINISHED'{condition}"
    [run] = client.search_runs([experiment.experiment_id], filter_string=wanted)
    return str(run.info.run_id)


def rebuild(project: Project, *arguments: str, code: int = 0) -> str:
    done = project.run("python", "-m", "recops.cli", "rebuild", *arguments, check=False)
    assert done.returncode == code, f"{done.stdout}\n{done.stderr}"
    return done.stdout + done.stderr


def test_the_evaluation_is_pulled_with_everything_that_it_was_made_from(finished: FinishedRun, tmp_path: Path) -> None:
    project = finished.project
    project.run("dvc", "push")
    folder = tmp_path / "again"
    words = rebuild(project, run_of(project, "evaluation_reports"), str(folder))
    assert f"pulled from {project.root.with_name('recops-dvc')}" in words
    assert "The same as in the run: every file by its bytes" in words
    for name in STAGE_NAMES:
        verify(Layout(folder, RECIPE).artefact(name))
    assert json.loads(Project(folder).run("dvc", "status", "--json").stdout) == {}
    assert "something in it" in rebuild(project, run_of(project, "evaluation_reports"), str(folder), code=2)


def test_without_the_remotes_files_it_says_so_and_computes_when_asked(finished: FinishedRun, tmp_path: Path) -> None:
    project, run_id = finished.project, run_of(finished.project, "validated_splits")
    remote = project.root.with_name("recops-dvc")
    hidden = remote.with_name("hidden")
    if remote.exists():
        remote.rename(hidden)
    try:
        refused = rebuild(project, run_id, str(tmp_path / "pulled"), code=EXIT_BAD_INPUT)
        computed = rebuild(project, run_id, str(tmp_path / "computed"), "--compute")
    finally:
        if hidden.exists():
            shutil.rmtree(remote, ignore_errors=True)
            hidden.rename(remote)
    assert "--compute" in refused
    assert "computed" in computed
    assert "The same as in the run" in computed
    made = [path.name for path in (tmp_path / "computed" / "data" / RECIPE).iterdir()]
    assert sorted(made) == ["raw_data", "validated_splits"]


def test_a_trial_is_made_again_with_its_overrides(finished: FinishedRun, tmp_path: Path) -> None:
    # In a copy: other tests count the runs and folders of the project that they share.
    project, key = Project(tmp_path / "checkout"), "validated_splits.candidates.num_candidates"
    shutil.copytree(finished.project.root, project.root, symlinks=True)
    trial = ("try", "--recipe", RECIPE, "--set", f"{key}=5", "--through", "validated_splits")
    project.run("python", "-m", "recops.cli", *trial)
    folder = tmp_path / "again"
    words = rebuild(project, run_of(project, "validated_splits", " and tags.trial = 'true'"), str(folder))
    assert "The same as in the run" in words
    recipe = yaml.safe_load((folder / "recipes" / f"{RECIPE}.yaml").read_text(encoding="utf-8"))
    assert recipe["validated_splits"]["candidates"]["num_candidates"] == 5
    assert project.recipe()["validated_splits"]["candidates"]["num_candidates"] == 6


def test_what_comes_out_otherwise_is_shown_and_told_by_the_exit_code(finished: FinishedRun, tmp_path: Path) -> None:
    project, run_id = finished.project, run_of(finished.project, "raw_data")
    client = MlflowClient(tracking_uri=store_uri(project.root))
    manifest = json.loads(Path(client.download_artifacts(run_id, "manifest.json")).read_text(encoding="utf-8"))
    manifest["report"]["num_users"] += 1
    manifest["files"]["items.parquet"]["sha256"] = "0" * 64
    manifest["libraries"]["polars"] = "0.1"
    before = client.download_artifacts(run_id, "manifest.json", str(tmp_path))
    kept = Path(before).read_text(encoding="utf-8")
    client.log_text(run_id, json.dumps(manifest), "manifest.json")
    try:
        words = rebuild(project, run_id, str(tmp_path / "again"), "--compute", code=EXIT_DIFFERENT)
    finally:
        client.log_text(run_id, kept, "manifest.json")
    for told in ("1 of", "num_users", "items.parquet", "polars 0.1 ->"):
        assert told in words
