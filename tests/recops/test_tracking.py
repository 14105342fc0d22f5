import json
import multiprocessing
import threading
import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

import pytest
from mlflow import MlflowClient

from recops.tracked_run import DataSet, tracked_run
from recops.tracking import (
    MLFLOW_URL,
    log_version,
    open_client,
    prepare_store,
    run_that_made,
    run_url,
    server_url,
    store_uri,
)


def start(root: Path, resume: str | None = None):
    return tracked_run(
        root, experiment="tiny", name="raw_data", parameters={"seed": 7}, tags={"stage": "raw_data"}, resume=resume
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    prepare_store(folder, "tiny")
    return folder


def test_metrics_parameters_tags_and_files_reach_the_store(root: Path) -> None:
    with start(root) as tracker:
        for step in range(3):
            tracker.log_metrics({"ndcg@10": step / 10}, step=step)
        file = root / "note.txt"
        file.write_text("note", encoding="utf-8")
        tracker.log_file(file)
    client = MlflowClient(tracking_uri=store_uri(root))
    run = client.get_run(tracker.run_id)
    history = client.get_metric_history(tracker.run_id, "ndcg_at_10")
    assert [(point.step, point.value) for point in history] == [(0, 0.0), (1, 0.1), (2, 0.2)]
    assert (run.data.params, run.data.tags["stage"], run.info.status) == ({"seed": "7"}, "raw_data", "FINISHED")
    assert [file.path for file in client.list_artifacts(tracker.run_id)] == ["note.txt"]


def test_files_lie_at_an_absolute_place(root: Path) -> None:
    with start(root) as tracker:
        pass
    uri = MlflowClient(tracking_uri=store_uri(root)).get_run(tracker.run_id).info.artifact_uri
    assert uri.startswith((root / "mlartifacts" / "tiny").as_uri())


def test_every_execution_is_a_run_of_its_own_unless_it_resumes_one(root: Path) -> None:
    with start(root) as first:
        pass
    with start(root) as second:
        pass
    with start(root, resume=first.run_id) as resumed:
        pass
    assert first.run_id != second.run_id
    assert resumed.run_id == first.run_id


def test_a_run_that_was_deleted_is_not_resumed(root: Path) -> None:
    with start(root) as first:
        pass
    MlflowClient(tracking_uri=store_uri(root)).delete_run(first.run_id)
    with start(root, resume=first.run_id) as second, start(root, resume="0" * 32) as third:
        pass
    assert len({first.run_id, second.run_id, third.run_id}) == 3


@pytest.mark.parametrize(("error", "status"), [(ValueError("bad"), "FAILED"), (KeyboardInterrupt("stop"), "KILLED")])
def test_a_run_ends_as_its_block_does(root: Path, error: BaseException, status: str) -> None:
    with pytest.raises(type(error)), start(root) as tracker:
        raise error
    run = MlflowClient(tracking_uri=store_uri(root)).get_run(tracker.run_id)
    assert (run.info.status, run.data.tags["error"]) == (status, str(error))


def test_a_run_gets_the_entry_of_dvcs_lock_and_its_link(root: Path) -> None:
    with start(root) as tracker:
        pass
    lock = root / "dvc.lock"
    lock.write_text("stages: {}\n", encoding="utf-8")
    log_version(root, tracker.run_id, {"cmd": "x", "outs": [{"path": "data", "md5": "abc.dir"}]}, lock=lock)
    client = MlflowClient(tracking_uri=store_uri(root))
    run = client.get_run(tracker.run_id)
    assert run.data.tags["output"] == "abc.dir"
    written = Path(client.download_artifacts(tracker.run_id, "dvc.lock.json"))
    assert json.loads(written.read_text(encoding="utf-8"))["cmd"] == "x"
    assert Path(client.download_artifacts(tracker.run_id, "dvc.lock")).read_text(encoding="utf-8") == "stages: {}\n"
    assert run_url(root, tracker.run_id).endswith(f"/experiments/{run.info.experiment_id}/runs/{tracker.run_id}")


def test_processes_that_start_side_by_side_share_one_experiment(tmp_path: Path) -> None:
    # No `Pool`: that one ends its processes with SIGTERM, which they ignore where a library made this process do so.
    with ProcessPoolExecutor(2, mp_context=multiprocessing.get_context("spawn")) as pool:
        found = list(pool.map(prepare_store, [tmp_path] * 2, ["tiny"] * 2))
    assert len(set(found)) == 1


def test_files_of_a_database_lie_below_the_project_and_never_where_a_process_was_started(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    monkeypatch.chdir(elsewhere)
    monkeypatch.setenv("MLFLOW_TRACKING_URI", f"sqlite:///{tmp_path}/shared.db")
    root = tmp_path / "project"

    experiment = open_client(root).get_experiment(prepare_store(root, "tiny"))

    assert experiment.artifact_location == (root / "mlartifacts" / "tiny").as_uri()
    assert not list(elsewhere.iterdir())


def test_links_lead_to_the_servers_that_were_started(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in (MLFLOW_URL, "MLFLOW_TRACKING_URI"):
        monkeypatch.delenv(name, raising=False)
    assert server_url() == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "sqlite:////somewhere/mlflow.db")
    assert server_url() == "http://127.0.0.1:5000"
    monkeypatch.setenv("MLFLOW_TRACKING_URI", "https://mlflow.shop.example/")
    assert server_url() == "https://mlflow.shop.example"
    monkeypatch.setenv(MLFLOW_URL, "http://127.0.0.1:5050")
    assert server_url() == "http://127.0.0.1:5050"


def test_the_run_that_made_an_artefact_is_the_newest_finished_one(root: Path) -> None:
    tags = {"stage": "raw_data", "fingerprint": "abc"}
    made = [_finished(root, tags) for _ in range(2)]
    assert run_that_made(root, "tiny", stage="raw_data", fingerprint="abc") == made[-1]
    assert run_that_made(root, "tiny", stage="raw_data", fingerprint="other") is None


def _finished(root: Path, tags: dict[str, str]) -> str:
    with tracked_run(root, experiment="tiny", name="raw_data", parameters={}, tags=tags, resume=None) as tracker:
        return tracker.run_id


def stage_of(root: Path, stage: str, pipeline: str, resume: str | None = None):
    return tracked_run(
        root,
        experiment="whole",
        name=stage,
        parameters={},
        tags={"stage": stage, "recipe": "tiny"},
        resume=resume,
        pipeline=pipeline,
    )


def parent_of(root: Path, run_id: str):
    client = MlflowClient(tracking_uri=store_uri(root))
    return client.get_run(client.get_run(run_id).data.tags["mlflow.parentRunId"])


def test_the_runs_of_a_pipelines_stages_have_one_parent_that_ends_as_they_do(root: Path) -> None:
    with stage_of(root, "raw_data", "one") as first:
        assert parent_of(root, first.run_id).info.status == "RUNNING"
    assert parent_of(root, first.run_id).info.status == "FINISHED"
    with stage_of(root, "baselines", "one") as second, pytest.raises(KeyError), stage_of(root, "ppr", "one") as third:
        raise KeyError("a defect")
    parent = parent_of(root, first.run_id)
    assert {parent_of(root, one.run_id).info.run_id for one in (second, third)} == {parent.info.run_id}
    assert (parent.info.status, parent.data.tags["recipe"]) == ("FAILED", "tiny")
    with stage_of(root, "ppr", "one", resume=third.run_id) as again:
        assert parent_of(root, first.run_id).info.status == "RUNNING"
    assert again.run_id == third.run_id
    assert parent_of(root, first.run_id).info.status == "FINISHED"
    with stage_of(root, "raw_data", "another") as other:
        pass
    assert parent_of(root, other.run_id).info.run_id != parent.info.run_id


def test_data_sets_are_logged_with_the_hash_of_their_content(root: Path) -> None:
    data_set = DataSet("tiny/validated_splits", "ab" * 32, root / "data" / "tiny" / "validated_splits")
    settings = {"experiment": "tiny", "parameters": {}, "tags": {}, "resume": None}
    with tracked_run(root, name="sft_checkpoint", data_sets=[data_set], **settings) as tracker:
        pass
    [logged] = MlflowClient(tracking_uri=store_uri(root)).get_run(tracker.run_id).inputs.dataset_inputs
    assert (logged.dataset.name, logged.dataset.digest) == ("tiny/validated_splits", ("ab" * 32)[:36])
    assert json.loads(logged.dataset.source) == {"uri": data_set.path.as_uri()}
    assert {tag.key: tag.value for tag in logged.tags} == {"mlflow.data.context": "sft_checkpoint"}


def test_what_the_machine_does_is_recorded_while_a_run_lasts(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MLFLOW_SYSTEM_METRICS_SAMPLING_INTERVAL", "0.1")
    client, deadline = MlflowClient(tracking_uri=store_uri(root)), time.monotonic() + 60
    with start(root) as tracker:
        while "system/cpu_utilization_percentage" not in client.get_run(tracker.run_id).data.metrics:
            assert time.monotonic() < deadline
    assert client.get_run(tracker.run_id).data.metrics["system/system_memory_usage_megabytes"] > 0


def test_nobody_watches_the_machine_after_a_run(root: Path) -> None:
    for _ in range(2):
        with start(root):
            assert "SystemMetricsMonitor" in {thread.name for thread in threading.enumerate()}
        assert "SystemMetricsMonitor" not in {thread.name for thread in threading.enumerate()}
