"""What may be named, and what is said of names that stand for nothing."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from recops.compare.comparison import compare_runs
from recops.compare.evaluation import read_evaluation
from recops.compare.runs import open_runs
from recops.errors import InputError
from recops.tracked_run import tracked_run
from tests.recops.compare.evaluations import STAGE, TRIAL, changed_manifest


def test_a_recipe_a_trial_and_a_folder_are_found(finished: Path) -> None:
    folder = finished / "reports" / "small" / STAGE
    found = open_runs(finished, ["small", TRIAL[:6], str(folder)])
    assert [run.folder for run in found] == [folder, finished / "runs" / "small" / STAGE / TRIAL, folder]
    assert [run.label for run in found] == ["small (1)", f"small {TRIAL[:8]}", "small (3)"]


def test_a_run_in_mlflow_is_found_after_its_artefact_was_replaced(root: Path) -> None:
    folder = root / "reports" / "small" / STAGE
    tags = {"recipe": "small", "stage": STAGE}
    with tracked_run(root, experiment="small", name=STAGE, parameters={}, tags=tags, resume=None) as tracker:
        tracker.log_folder(folder)
    kept = (folder / "metrics.json").read_bytes()
    shutil.rmtree(folder)
    [run] = open_runs(root, [tracker.run_id])
    assert run.label == f"small {tracker.run_id[:8]}"
    assert (run.folder / "metrics.json").read_bytes() == kept
    assert read_evaluation(run).agents[-1] == "ppr_model"


def test_a_run_of_another_stage_and_an_unknown_run_are_named(root: Path) -> None:
    tags = {"recipe": "small", "stage": "grpo_model"}
    with tracked_run(root, experiment="small", name="x", parameters={}, tags=tags, resume=None) as tracker:
        pass
    with pytest.raises(InputError, match=f"{tracker.run_id}: found a run of grpo_model; expected a run of {STAGE}"):
        open_runs(root, [tracker.run_id])
    with pytest.raises(InputError, match="found no such run; expected the id of a run in MLflow"):
        open_runs(root, ["0" * 32])


@pytest.mark.parametrize("name", ["other", "ffffff", "no/such/folder", "../x"])
def test_an_unknown_name_is_answered_with_what_there_is(finished: Path, name: str) -> None:
    with pytest.raises(InputError, match=f"found nothing; there are small, small {TRIAL[:8]}; expected a finished run"):
        open_runs(finished, ["small", name])


def test_a_prefix_of_two_trials_is_refused(root: Path) -> None:
    folder = root / "runs" / "small" / STAGE
    shutil.copytree(folder / TRIAL, folder / f"{TRIAL[:8]}99999999")
    with pytest.raises(InputError, match=r"expected one trial\. Give more of the fingerprint"):
        open_runs(root, [TRIAL[:8]])
    assert open_runs(root, [TRIAL[:12]])[0].folder.name == TRIAL


@pytest.mark.parametrize("file", ["rankings.parquet", "metrics.json", "manifest.json"])
def test_a_damaged_artefact_is_named_with_its_file(root: Path, file: str) -> None:
    path = root / "runs" / "small" / STAGE / TRIAL / file
    path.write_bytes(path.read_bytes()[:-20])
    with pytest.raises(InputError, match=file) as caught:
        open_runs(root, ["small", TRIAL])
    assert "fetch it (dvc pull)" in caught.value.next_step


def test_what_is_no_evaluation_is_refused(root: Path) -> None:
    with pytest.raises(InputError, match="found an artefact of no stage; expected one of evaluation_reports"):
        open_runs(root, [str(root / "reports" / "small" / "baselines")])


def test_an_evaluation_of_an_earlier_version_is_told_from_a_damaged_one(root: Path) -> None:
    folder = root / "reports" / "small" / STAGE
    (folder / "samples.parquet").unlink()
    changed_manifest(folder)
    with pytest.raises(InputError, match=r"no samples\.parquet; expected an evaluation to compare"):
        compare_runs(root, ["small"])


def test_runs_that_disagree_about_a_sample_are_refused(root: Path) -> None:
    folder = root / "runs" / "small" / STAGE / TRIAL
    facts = pl.read_parquet(folder / "samples.parquet")
    facts.with_columns(pl.col("target") % 40 + 1).write_parquet(folder / "samples.parquet")
    changed_manifest(folder)
    with pytest.raises(InputError, match="disagree about samples"):
        compare_runs(root, ["small", TRIAL])


def test_no_run_at_all_is_refused(finished: Path) -> None:
    with pytest.raises(InputError, match="expected at least one"):
        compare_runs(finished, [])
