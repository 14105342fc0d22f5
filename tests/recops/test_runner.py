import dataclasses
from pathlib import Path
from typing import Any

import pytest
from mlflow import MlflowClient

from recops import runner
from recops.artifacts import read_json, verify, write_json
from recops.config.recipe import Recipe, parse_recipe
from recops.data import sources
from recops.errors import InputError
from recops.interrupt import Interrupted
from recops.paths import Layout
from recops.runner import check_unchanged, flatten, run_stage
from recops.stage_io import StageIO
from recops.tracking import store_uri
from tests.pipeline.project import RECIPE, tiny_recipe

REAL = sources.run_raw_data


def recipe(**changes: Any) -> Recipe:
    return parse_recipe({**tiny_recipe(), **changes}, where=Path(f"{RECIPE}.yaml"))


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with a finished `raw_data`."""
    folder = tmp_path_factory.mktemp("root")
    run_stage("raw_data", recipe=recipe(), layout=Layout(folder, RECIPE), tags={"who": "a test"})
    return folder


def mlflow_runs(root: Path) -> list[Any]:
    client = MlflowClient(tracking_uri=store_uri(root))
    experiment = client.get_experiment_by_name(RECIPE)
    assert experiment is not None
    return list(client.search_runs([experiment.experiment_id]))


def break_after(step: int, monkeypatch: pytest.MonkeyPatch, error: BaseException) -> None:
    """Let the real stage stop with `error` once, after writing a checkpoint."""
    calls = []

    def run(io: StageIO, *arguments: Any, **named: Any) -> Any:
        calls.append([path.name for path in io.checkpoints.iterdir()])
        if len(calls) <= step:
            write_json(io.checkpoints / "state.json", {"step": len(calls)})
            (io.out / "half.txt").write_text("half", encoding="utf-8")
            raise error
        assert "state.json" in calls[-1]
        return REAL(io, *arguments, **named)

    monkeypatch.setattr(sources, "run_raw_data", run)


def test_the_manifest_says_what_the_artefact_was_made_from(root: Path) -> None:
    manifest = verify(Layout(root, RECIPE).artefact("raw_data"))
    assert manifest["settings"]["seed"] == 7
    assert set(manifest["settings"]) == {"seed", "raw_data"}
    assert manifest["opened"] == []
    assert manifest["libraries"]["polars"]


def test_the_report_is_beside_the_artefact_and_in_mlflow(root: Path) -> None:
    report = read_json(Layout(root, RECIPE).artefact("raw_data") / "report.json")
    [run] = [run for run in mlflow_runs(root) if run.data.tags.get("who") == "a test"]
    assert run.data.metrics["num_users"] == report["num_users"]
    assert run.data.params["raw_data.source.num_users"] == "200"
    assert run.info.status == "FINISHED"
    files = {file.path for file in MlflowClient(tracking_uri=store_uri(root)).list_artifacts(run.info.run_id)}
    assert files == {"report.json", "manifest.json", "recipe.yaml"}


def test_the_same_seed_gives_the_same_bytes(root: Path, tmp_path: Path) -> None:
    run_stage("raw_data", recipe=recipe(), layout=Layout(tmp_path, RECIPE))
    mine, theirs = (verify(Layout(one, RECIPE).artefact("raw_data")) for one in (tmp_path, root))
    assert mine == theirs


def test_another_seed_gives_another_fingerprint(root: Path, tmp_path: Path) -> None:
    result = run_stage("raw_data", recipe=recipe(seed=8), layout=Layout(tmp_path, RECIPE))
    assert result.fingerprint != verify(Layout(root, RECIPE).artefact("raw_data"))["fingerprint"]


def test_an_error_leaves_no_output_and_the_retry_goes_on_in_the_same_run(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    break_after(1, monkeypatch, RuntimeError("no disk"))
    with pytest.raises(RuntimeError, match="no disk"):
        run_stage("raw_data", recipe=recipe(), layout=Layout(tmp_path, RECIPE))
    [failed] = mlflow_runs(tmp_path)
    assert (failed.info.status, failed.data.tags["error"]) == ("FAILED", "no disk")
    assert not list(Layout(tmp_path, RECIPE).artefact("raw_data").parent.iterdir())
    result = run_stage("raw_data", recipe=recipe(), layout=Layout(tmp_path, RECIPE))
    [resumed] = mlflow_runs(tmp_path)
    assert (resumed.info.run_id, resumed.info.status) == (result.run_id, "FINISHED")
    assert result.run_id == failed.info.run_id
    assert not Layout(tmp_path, RECIPE).checkpoints("raw_data").exists()
    assert not (result.artefact / "half.txt").exists()


def test_an_interrupted_run_is_killed_in_mlflow_not_failed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    break_after(1, monkeypatch, Interrupted("stopped"))
    with pytest.raises(Interrupted):
        run_stage("raw_data", recipe=recipe(), layout=Layout(tmp_path, RECIPE))
    assert [run.info.status for run in mlflow_runs(tmp_path)] == ["KILLED"]


@pytest.mark.parametrize(("changes", "force"), [({"seed": 8}, False), ({}, True)])
def test_checkpoints_of_other_settings_or_a_forced_start_are_not_resumed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: dict[str, Any], force: bool
) -> None:
    break_after(1, monkeypatch, RuntimeError("no disk"))
    with pytest.raises(RuntimeError):
        run_stage("raw_data", recipe=recipe(), layout=Layout(tmp_path, RECIPE))
    monkeypatch.setattr(sources, "run_raw_data", REAL)
    run_stage("raw_data", recipe=recipe(**changes), layout=Layout(tmp_path, RECIPE), force=force)
    assert sorted(run.info.status for run in mlflow_runs(tmp_path)) == ["FAILED", "FINISHED"]


def test_a_missing_input_stops_the_stage_before_it_starts(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="recops stage raw_data --recipe tiny"):
        run_stage("validated_splits", recipe=recipe(), layout=Layout(tmp_path, RECIPE))
    assert not (tmp_path / "mlflow.db").exists()


def test_a_stage_cannot_open_what_it_does_not_declare(root: Path) -> None:
    layout = Layout(root, RECIPE)
    io = StageIO("raw_data", layout, root, root, tracker=None)  # type: ignore[arg-type]
    with pytest.raises(AssertionError, match="does not declare"):
        io.input("validated_splits")


def test_what_changed_while_a_stage_ran_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    check_unchanged("raw_data", recipe(), Layout(root, RECIPE))
    with pytest.raises(InputError, match="settings changed while the stage ran"):
        check_unchanged("raw_data", recipe(seed=8), Layout(root, RECIPE))
    monkeypatch.setattr(runner, "code_sha256", lambda *_: "other")
    with pytest.raises(InputError, match="code_sha256 changed"):
        check_unchanged("raw_data", recipe(), Layout(root, RECIPE))


def test_flatten_joins_keys_by_dots() -> None:
    assert flatten({"a": {"b": 1, "c": {"d": 2}}, "e": [3]}) == {"a.b": 1, "a.c.d": 2, "e": [3]}


def test_a_result_cannot_be_changed(root: Path) -> None:
    result = runner.StageResult(root, {}, "", "")
    with pytest.raises(dataclasses.FrozenInstanceError):
        result.run_id = "other"  # type: ignore[misc]


def test_the_code_behind_a_tool_of_another_package_is_a_fact_of_the_stages_that_use_tools(
    root: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    code = 'def ask(context) -> str:\n    """Says something."""\n    return "x"\n'
    (tmp_path / "fact_tools.py").write_text(code, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    other = recipe(agent={**tiny_recipe()["agent"], "tools": ["get_user_history", "fact_tools.ask"]})

    facts = [runner.stage_facts(name, other, Layout(root, RECIPE)) for name in ("base_policy", "raw_data")]

    assert list(facts[0]["own_tools"]) == ["fact_tools.ask"]
    assert facts[1]["own_tools"] == {}
    assert runner.stage_facts("base_policy", recipe(), Layout(root, RECIPE))["own_tools"] == {}
