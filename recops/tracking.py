"""The only door to MLflow: runs found by their tags, metrics under one set of names, files attached."""

import json
import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from recops.artifacts import exclusive
from recops.errors import InputError
from recops.imports import importing
from recops.mlflow_traces import write_traces
from recops.traces import Trace

MLFLOW_DATABASE = "mlflow.db"
MLFLOW_ARTIFACTS = "mlartifacts"
MLFLOW_PORT = 5000
MLFLOW_URL = "RECOPS_MLFLOW_URL"
"""Variable of the environment in which `make ui` tells the processes that it starts where MLflow's pages are."""


class Tracker(Protocol):
    """What a stage may record about its run."""

    @property
    def run_id(self) -> str:
        """Identifier of the run."""

    def log_metrics(self, values: Mapping[str, float], *, step: int | None) -> None:
        """Record numbers, at a step of a curve or (None) as results of the whole run."""

    def log_file(self, path: Path) -> None:
        """Attach a copy of a file."""

    def log_folder(self, folder: Path) -> None:
        """Attach a copy of every file of a folder, under the same names."""

    def log_traces(self, traces: Sequence[Trace]) -> None:
        """Record played episodes, step by step."""

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows of equal columns to the run's table of a name that ends in `.json`."""


class MlflowTracker:
    """Writes to one MLflow run."""

    def __init__(self, client: Any, run_id: str) -> None:
        self._client, self._run_id = client, run_id

    @property
    def run_id(self) -> str:
        """Identifier of the MLflow run."""
        return self._run_id

    def log_metrics(self, values: Mapping[str, float], *, step: int | None) -> None:
        """Record numbers in one request; MLflow shows a result without a step at step 0."""
        import time

        from mlflow.entities import Metric

        now = int(time.time() * 1000)
        metrics = [Metric(name.replace("@", "_at_"), float(value), now, step or 0) for name, value in values.items()]
        self._client.log_batch(self._run_id, metrics=metrics)

    def log_file(self, path: Path) -> None:
        """Attach a copy of a file to the run."""
        self._client.log_artifact(self._run_id, str(path))

    def log_folder(self, folder: Path) -> None:
        """Attach a copy of every file of a folder to the run."""
        self._client.log_artifacts(self._run_id, str(folder))

    def log_traces(self, traces: Sequence[Trace]) -> None:
        """Record played episodes in the experiment of the run, linked to it."""
        experiment_id = self._client.get_run(self._run_id).info.experiment_id
        write_traces(self._client.tracking_uri, experiment_id=experiment_id, run_id=self._run_id, traces=traces)

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        """Append rows to a table that MLflow's pages show as one; a run that is resumed goes on in its own."""
        columns = {column: [row[column] for row in rows] for column in rows[0]}
        self._client.log_table(self._run_id, data=columns, artifact_file=name)


def store_uri(root: Path) -> str:
    """Return the tracking URI: `MLFLOW_TRACKING_URI` if it is set, else the project's SQLite store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / MLFLOW_DATABASE}"


def has_store(root: Path) -> bool:
    """Whether anything may be recorded: opening the project's own store where there is none would make one."""
    return bool(os.environ.get("MLFLOW_TRACKING_URI")) or (root / MLFLOW_DATABASE).is_file()


def open_client(root: Path) -> Any:
    """Return an MLflow client. MLflow is imported here, for that takes seconds and most callers do not need it."""
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    with importing():
        from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store_uri(root))


def prepare_store(root: Path, experiment: str) -> str:
    """Create the store and the experiment where they do not exist, one process at a time; return the experiment's id.

    Two processes that create the SQLite store side by side break each other's migration.
    """
    with exclusive(root / "checkpoints" / "mlflow.lock", wait=True):
        client = open_client(root)
        found = client.get_experiment_by_name(experiment)
        if found:
            return str(found.experiment_id)
        # A server decides for itself. A database would say `mlruns`, below whatever folder a process was started in.
        of_server = store_uri(root).startswith(("http://", "https://"))
        location = None if of_server else (root / MLFLOW_ARTIFACTS / experiment).as_uri()
        return str(client.create_experiment(experiment, artifact_location=location))


def run_url(root: Path, run_id: str) -> str:
    """Return the address of a run in a browser."""
    experiment_id = open_client(root).get_run(run_id).info.experiment_id
    return f"{server_url()}/#/experiments/{experiment_id}/runs/{run_id}"


def server_url() -> str:
    """Return the address of MLflow's pages: of `make ui` with the port that it was given, or of a shared server."""
    shared = os.environ.get("MLFLOW_TRACKING_URI", "")
    default = shared.rstrip("/") if shared.startswith(("http://", "https://")) else f"http://127.0.0.1:{MLFLOW_PORT}"
    return os.environ.get(MLFLOW_URL, default)


def run_that_made(root: Path, experiment: str, *, stage: str, fingerprint: str) -> str | None:
    """Return the id of the newest finished run that made an artefact, None where this store knows none."""
    run = newest_run(root, experiment, _made(stage, fingerprint))
    return str(run.info.run_id) if run else None


def newest_run(root: Path, experiment: str, condition: str) -> Any | None:
    """Return the newest finished run of an experiment that meets a condition in MLflow's language, None without one."""
    runs = _runs(root, experiment, condition)
    return runs[0] if runs else None


def log_version(root: Path, run_id: str, lock_entry: Mapping[str, Any], *, lock: Path) -> None:
    """Attach dvc.lock and its entry for a finished run's stage, and tag the run with its output's hash."""
    client = open_client(root)
    client.log_dict(run_id, dict(lock_entry), "dvc.lock.json")
    client.log_artifact(run_id, str(lock))
    client.set_tag(run_id, "output", lock_entry["outs"][0]["md5"])


def accept_run(root: Path, experiment: str, *, stage: str, fingerprint: str) -> None:
    """Mark the newest finished run that made an artefact as accepted: later versions are compared with it."""
    run_id = run_that_made(root, experiment, stage=stage, fingerprint=fingerprint)
    if run_id:
        open_client(root).set_tag(run_id, "accepted", "true")


def last_accepted(root: Path, experiment: str, *, stage: str, fingerprint: str, file: str) -> Any:
    """Return the content of a JSON file of the newest accepted run whose fingerprint is another, None without one."""
    client = open_client(root)
    for run in _runs(root, experiment, f"tags.stage = '{stage}' and tags.accepted = 'true'"):
        if run.data.tags["fingerprint"] != fingerprint:
            return json.loads(Path(client.download_artifacts(run.info.run_id, file)).read_text(encoding="utf-8"))
    return None


def find_run(root: Path, run_id: str) -> dict[str, str]:
    """Return the tags of a run.

    Raises:
        InputError: the store holds no such run.
    """
    client = open_client(root)
    if not run_exists(client, run_id):
        step = f"Look for it in the MLflow of this project: {store_uri(root)}"
        raise InputError(run_id, found="no such run", expected="the id of a run in MLflow", next_step=step)
    return dict(client.get_run(run_id).data.tags)


def run_exists(client: Any, run_id: str) -> bool:
    """Return whether the store still holds a run; a person may have deleted it, or the store."""
    from mlflow.exceptions import MlflowException

    try:
        return bool(client.get_run(run_id).info.lifecycle_stage == "active")
    except MlflowException as error:
        if error.error_code != "RESOURCE_DOES_NOT_EXIST":
            raise
        return False


def run_files(root: Path, run_id: str) -> Path:
    """Return a folder with everything that is attached to a run."""
    return Path(open_client(root).download_artifacts(run_id, ""))


def run_metrics(root: Path, experiment: str, *, stage: str, fingerprint: str) -> dict[str, float]:
    """Return the metrics of the newest finished run that made an artefact, none where the store does not know it."""
    if not has_store(root):
        return {}
    run = newest_run(root, experiment, _made(stage, fingerprint))
    return dict(run.data.metrics) if run else {}


def _made(stage: str, fingerprint: str) -> str:
    """What a run meets that made an artefact."""
    return f"tags.stage = '{stage}' and tags.fingerprint = '{fingerprint}'"


def _runs(root: Path, experiment: str, condition: str) -> list[Any]:
    """Finished runs of an experiment, the newest first."""
    client = open_client(root)
    found = client.get_experiment_by_name(experiment)
    if found is None:
        return []
    finished = f"attributes.status = 'FINISHED' and {condition}"
    order = ["attributes.start_time DESC"]
    return list(client.search_runs([found.experiment_id], filter_string=finished, order_by=order, max_results=200))
