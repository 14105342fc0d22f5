"""What one command leaves behind: artefacts, DVC's record, MLflow's runs, Dagster's events."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
import yaml
from dagster import AssetKey, DagsterInstance
from mlflow import MlflowClient

from recops.artifacts import MANIFEST, read_json, verify
from recops.config.recipe import load_recipe
from recops.errors import InputError
from recops.paths import Layout
from recops.runner import run_stage
from recops.stage import SEEDS, STAGE_NAMES, STAGES, StageName
from recops.tracking import store_uri
from recops.versioning import locked_stage, output_hash
from tests.pipeline.conftest import FinishedRun
from tests.pipeline.project import RECIPE, Project, create_project

# The first test of a file may pay for a whole run of the pipeline, on a machine that does other things too.
pytestmark = [pytest.mark.slow, pytest.mark.timeout(1800)]

READS = [(stage.name, read) for stage in STAGES.values() for read in stage.reads]


def test_every_asset_is_made_and_the_table_is_printed(finished: FinishedRun) -> None:
    layout = Layout(finished.project.root, RECIPE)
    for name in STAGE_NAMES:
        verify(layout.artefact(name))
        assert f"{name} finished" in finished.output
    for system in ("random", "sasrec", "llara", "s_dpo", "sft_checkpoint", "ppr_model"):
        assert system in finished.output
    assert str(layout.artefact("evaluation_reports") / "report.html") in finished.output


def test_nothing_unfinished_stays(finished: FinishedRun) -> None:
    root = finished.project.root
    assert not list(root.glob("*/*/.*.partial"))
    assert not [path for path in (root / "checkpoints" / RECIPE).iterdir() if path.is_dir()]


@pytest.mark.parametrize("name", STAGE_NAMES)
def test_a_stage_opens_exactly_what_it_declares(finished: FinishedRun, name: StageName) -> None:
    manifest = read_json(Layout(finished.project.root, RECIPE).artefact(name) / MANIFEST)
    assert set(manifest["opened"]) == set(STAGES[name].reads)


def test_dvc_has_nothing_to_do_after_the_run(finished: FinishedRun) -> None:
    assert json.loads(finished.project.run("dvc", "status", "--json").stdout) == {}
    assert "Running stage" not in finished.project.run("dvc", "repro", "--dry").stdout


def test_dagsters_data_version_is_dvcs_hash(finished: FinishedRun, monkeypatch: pytest.MonkeyPatch) -> None:
    root = finished.project.root
    monkeypatch.setenv("DAGSTER_HOME", str(root / ".dagster"))
    with DagsterInstance.get() as instance:
        for name in STAGE_NAMES:
            event = instance.get_latest_materialization_event(AssetKey(name))
            assert event is not None
            materialization = event.asset_materialization
            assert materialization is not None
            assert materialization.partition == RECIPE
            assert (materialization.tags or {})["dagster/data_version"] == output_hash(locked_stage(root, name, RECIPE))
            _check_metadata(name, materialization.metadata, locked_stage(root, name, RECIPE))


def _check_metadata(name: StageName, metadata: Any, entry: dict[str, Any]) -> None:
    """Links, hashes and a picture on every asset; counts, numbers and tables where there are such."""
    assert metadata["mlflow_run"].value.startswith("http://127.0.0.1:5000/#/experiments/")
    assert metadata["dvc_hash"].value == output_hash(entry)
    assert {f"dvc_hash_of.{read}" for read in STAGES[name].reads} <= metadata.keys()
    assert metadata["bytes"].value > 0
    assert metadata["picture"].value.startswith("![")
    assert "data:image/png;base64," in metadata["picture"].value
    tables = ("first_rows", "results", "training", "rejected")
    assert any("| --- |" in metadata[name].value for name in tables if name in metadata)
    if name not in ("base_policy", "sft_checkpoint", "grpo_model", "ppr_model", "llm_baselines"):
        assert metadata["dagster/row_count"].value > 0
    else:
        assert metadata["rows.curve"].value > 0
    if name in ("baselines", "evaluation_reports"):
        assert 0 < metadata["ndcg@10.lambdamart"].value < 1
        assert "| lambdamart |" in metadata["results"].value
    if name == "evaluation_reports":
        assert Path(metadata["report"].value).is_file()
        assert metadata["report_in_mlflow"].value == f"{metadata['mlflow_run'].value}/artifacts/report.html"


def test_every_stage_has_one_finished_mlflow_run_with_its_tags(finished: FinishedRun) -> None:
    runs = {run.data.tags["stage"]: run for run in finished.project.mlflow_runs()}
    assert len(finished.project.mlflow_runs()) == len(STAGE_NAMES)
    for name in STAGE_NAMES:
        run = runs[name]
        entry = locked_stage(finished.project.root, name, RECIPE)
        assert run.info.status == "FINISHED"
        assert run.data.tags["recipe"] == RECIPE
        assert run.data.tags["output"] == output_hash(entry)
        assert run.data.tags["git_commit"]
        assert run.data.tags["dagster_run_id"]
        assert {f"input.{read}" for read in STAGES[name].reads} <= run.data.tags.keys()
        [seed] = {*SEEDS} & run.data.params.keys()
        assert run.data.params[seed] == "7"


def test_the_runs_of_the_stages_have_one_parent_which_ended_well(finished: FinishedRun) -> None:
    runs = finished.project.mlflow_runs()
    [parent] = {run.data.tags["mlflow.parentRunId"] for run in runs}
    whole = MlflowClient(tracking_uri=store_uri(finished.project.root)).get_run(parent)
    assert (whole.info.status, whole.info.run_name) == ("FINISHED", "pipeline")
    assert {run.data.tags["dagster_run_id"] for run in runs} == {whole.data.tags["pipeline"]}


def test_a_run_holds_the_data_that_it_read_its_own_section_and_what_the_machine_did(finished: FinishedRun) -> None:
    client = MlflowClient(tracking_uri=store_uri(finished.project.root))
    for run in finished.project.mlflow_runs():
        stage = STAGES[run.data.tags["stage"]]
        logged = {one.dataset.name: one.dataset.digest for one in run.inputs.dataset_inputs}
        data = [read for read in stage.reads if STAGES[read].root == "data"]
        assert logged == {f"{RECIPE}/{read}": run.data.tags[f"input.{read}"][:36] for read in data}
        sections = {name.partition(".")[0] for name in run.data.params}
        assert sections == {stage.name, *stage.shared}
        files = {file.path for file in client.list_artifacts(run.info.run_id)}
        assert {"recipe.yaml", "manifest.json", "dvc.lock"} <= files
        assert ("report.html" in files) == (stage.name == "evaluation_reports")
    assert any("system/cpu_utilization_percentage" in run.data.metrics for run in finished.project.mlflow_runs())


@pytest.mark.parametrize("stage", ["grpo_model", "ppr_model", "evaluation_reports"])
def test_episodes_are_traces_of_the_run_in_which_they_were_played(finished: FinishedRun, stage: StageName) -> None:
    client = MlflowClient(tracking_uri=store_uri(finished.project.root))
    [run] = [run for run in finished.project.mlflow_runs() if run.data.tags["stage"] == stage]
    traces = client.search_traces(locations=[run.info.experiment_id], run_id=run.info.run_id, max_results=100)
    assert traces
    if stage != "evaluation_reports":
        assert {trace.info.tags["step"] for trace in traces} == {"1", "2"}
    for trace in traces:
        assert (
            {"AGENT", "CHAT_MODEL"} <= {span.span_type for span in trace.data.spans} <= {"AGENT", "CHAT_MODEL", "TOOL"}
        )
        assert "reward" in {one.name for one in trace.info.assessments}


def test_the_final_policy_is_registered_as_the_challenger(finished: FinishedRun) -> None:
    client = MlflowClient(tracking_uri=store_uri(finished.project.root))
    version = client.get_model_version_by_alias(RECIPE, "challenger")
    made = {run.data.tags["stage"]: run.info.run_id for run in finished.project.mlflow_runs()}
    for stage in ("ppr_model", "evaluation_reports"):
        assert version.tags[f"{stage}_run"] == made[stage]
    assert list(client.get_registered_model(RECIPE).aliases) == ["challenger"]


def test_a_trainings_curve_and_report_are_in_mlflow(finished: FinishedRun) -> None:
    client = MlflowClient(tracking_uri=store_uri(finished.project.root))
    [run] = [run for run in finished.project.mlflow_runs() if run.data.tags["stage"] == "grpo_model"]
    steps = {metric.step for name in run.data.metrics for metric in client.get_metric_history(run.info.run_id, name)}
    assert len(steps) > 1
    assert {"report.json", "manifest.json", "dvc.lock.json"} <= {
        file.path for file in client.list_artifacts(run.info.run_id)
    }


def test_a_changed_grpo_setting_makes_grpo_and_what_follows_stale(finished: FinishedRun) -> None:
    project = finished.project
    before = project.recipe()
    project.write_recipe({**before, "grpo_model": {**before["grpo_model"], "beta": 0.01}})
    try:
        out = project.run("dvc", "repro", "--dry").stdout
        status = json.loads(project.run("dvc", "status", "--json").stdout)
    finally:
        project.write_recipe(before)
    assert [line for line in out.splitlines() if line.startswith("Running stage")] == [
        f"Running stage 'grpo_model@{RECIPE}':"
    ]
    assert list(status) == [f"grpo_model@{RECIPE}"]


def test_dvc_repro_in_a_clone_gives_the_same_bytes_without_dagster(finished: FinishedRun, tmp_path: Path) -> None:
    clone = create_project(tmp_path / "checkout")
    clone.run("dvc", "repro", f"evaluation_reports@{RECIPE}")
    assert not (clone.root / ".dagster" / "storage").exists()
    for name in STAGE_NAMES:
        mine, theirs = (locked_stage(one.root, name, RECIPE) for one in (clone, finished.project))
        assert output_hash(mine) == output_hash(theirs), name


def test_a_clone_beside_it_pulls_what_was_pushed_and_compares_it(finished: FinishedRun) -> None:
    root = finished.project.root
    finished.project.run("dvc", "push")
    clone = Project(root.with_name("clone"))
    finished.project.run("git", "clone", "--quiet", str(root), str(clone.root))
    clone.run("dvc", "pull")
    for name in STAGE_NAMES:
        verify(Layout(clone.root, RECIPE).artefact(name))
    metrics = Layout(clone.root, RECIPE).artefact("evaluation_reports") / "metrics.json"
    changed = read_json(metrics)
    changed["systems"]["random"]["ndcg@10"]["mean"] = 2.0
    metrics.write_text(json.dumps(changed), encoding="utf-8")
    [difference] = json.loads(clone.run("dvc", "metrics", "diff", "--json").stdout).values()
    assert list(difference) == ["systems.random.ndcg@10.mean"]
    assert difference["systems.random.ndcg@10.mean"]["new"] == 2.0
    clone.run("dvc", "plots", "diff", "--out", str(clone.root / "dvc_plots"))
    assert "random" in (clone.root / "dvc_plots" / "index.html").read_text(encoding="utf-8")


@pytest.mark.parametrize(("name", "read"), READS)
@pytest.mark.parametrize("damage", ["missing", "truncated"])
def test_a_stage_with_a_damaged_input_raises_and_leaves_no_output(
    finished: FinishedRun, tmp_path: Path, name: StageName, read: StageName, damage: str
) -> None:
    before, layout = Layout(finished.project.root, RECIPE), Layout(tmp_path, RECIPE)
    for needed in STAGES[name].reads:
        shutil.copytree(before.artefact(needed), layout.artefact(needed))
    files = [file for file in layout.artefact(read).iterdir() if file.is_file() and file.name != MANIFEST]
    victim = max(files, key=lambda file: file.stat().st_size)
    if damage == "missing":
        victim.unlink()
    else:
        victim.write_bytes(victim.read_bytes()[:-1])
    recipe = load_recipe(before.recipe_file)
    with pytest.raises(InputError, match=victim.name):
        run_stage(name, recipe=recipe, layout=layout)
    assert not layout.artefact(name).exists()
    assert not layout.checkpoints(name).exists()


def test_the_recorded_recipe_is_listed_once(finished: FinishedRun) -> None:
    content = yaml.safe_load((finished.project.root / "params.yaml").read_text(encoding="utf-8"))
    assert content == {"recipes": [RECIPE]}
