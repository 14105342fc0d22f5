"""The only door to MLflow: runs found by their tags, metrics under one set of names, files attached."""

import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

MLFLOW_DATABASE = "mlflow.db"
MLFLOW_ARTIFACTS = "mlartifacts"


class Tracker(Protocol):
    """What a stage may record about its run."""

    @property
    def run_id(self) -> str:
        """Identifier of the run."""

    def log_metrics(self, values: Mapping[str, float], *, step: int | None) -> None:
        """Record numbers, at a step of a curve or (None) as results of the whole run."""

    def log_file(self, path: Path) -> None:
        """Attach a copy of a file."""


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


def store_uri(root: Path) -> str:
    """Return the tracking URI: `MLFLOW_TRACKING_URI` if it is set, else the project's SQLite store."""
    return os.environ.get("MLFLOW_TRACKING_URI") or f"sqlite:///{root / MLFLOW_DATABASE}"


def open_client(root: Path) -> Any:
    """Return an MLflow client. MLflow is imported here, for that takes seconds and most callers do not need it."""
    os.environ.setdefault("MLFLOW_ALLOW_PICKLE_DESERIALIZATION", "false")
    os.environ.setdefault("MLFLOW_DISABLE_TELEMETRY", "true")
    from mlflow import MlflowClient

    return MlflowClient(tracking_uri=store_uri(root))


@contextmanager
def tracked_run(
    root: Path,
    *,
    experiment: str,
    name: str,
    parameters: Mapping[str, Any],
    tags: Mapping[str, str],
    resume: str | None,
) -> Iterator[MlflowTracker]:
    """Record one execution of a stage; the run ends FINISHED, FAILED when the block raises, KILLED when interrupted.

    Args:
        root: the project's root.
        experiment: created, with an absolute artefact location, when it does not exist.
        name: name of the run.
        parameters: resolved settings, flat.
        tags: what the run is found by.
        resume: identifier of the run that a retry continues, or None for a new run.
    """
    client = open_client(root)
    run_id = resume or _create_run(client, root, experiment, name, parameters, tags)
    if resume:
        client.update_run(run_id, status="RUNNING")
    try:
        yield MlflowTracker(client, run_id)
    except BaseException as error:
        client.set_tag(run_id, "error", str(error)[:500])
        client.set_terminated(run_id, status="FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    client.set_terminated(run_id, status="FINISHED")


def _create_run(
    client: Any, root: Path, experiment: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]
) -> str:
    from mlflow.entities import Param

    found = client.get_experiment_by_name(experiment)
    location = None if os.environ.get("MLFLOW_TRACKING_URI") else (root / MLFLOW_ARTIFACTS / experiment).as_uri()
    experiment_id = found.experiment_id if found else client.create_experiment(experiment, artifact_location=location)
    run_id: str = client.create_run(experiment_id, run_name=name, tags=dict(tags)).info.run_id
    client.log_batch(run_id, params=[Param(key, str(value)[:6000]) for key, value in parameters.items()])
    return run_id
