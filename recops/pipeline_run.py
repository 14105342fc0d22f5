"""The run of a whole pipeline in MLflow: parent of the runs of its stages, which each belong to a process of their own.

No process lives as long as the whole: whoever executes a stage finds the parent by its tag, or creates it, and when the
stage has ended the parent gets the status of all its stages together. A run that Dagster started again after a failure
is the same whole.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recops.artifacts import exclusive

PIPELINE = "pipeline"
"""Tag of a parent: the identifier of the whole. Its runs of stages have the tag `PARENT`."""
PARENT = "mlflow.parentRunId"
"""Tag that MLflow's pages read: the id of the run that a run is shown below."""
_OF_THE_WHOLE = ("recipe", "git_commit", "trial", "study", "variant")
"""Tags of a stage's run that the parent gets too."""
_STATUSES = ("RUNNING", "FAILED", "KILLED", "FINISHED")
"""The first that one of the stages has is that of the whole."""


@contextmanager
def open_pipeline_run(
    client: Any, root: Path, experiment_id: str, pipeline: str | None, tags: Mapping[str, str]
) -> Iterator[str | None]:
    """Give the id of a whole's run, created where it is not there, for a block that begins the run of a stage in it.

    Args:
        client: of MLflow.
        root: the project's root.
        experiment_id: of the stage's run.
        pipeline: identifier of the whole; None where the stage is no part of one.
        tags: of the stage's run; what is true of the whole is copied.
    """
    if pipeline is None:
        yield None
        return
    with exclusive(_lock(root), wait=True):
        found = client.search_runs([experiment_id], f"tags.{PIPELINE} = '{pipeline}'", max_results=1)
        run_id = found[0].info.run_id if found else _create(client, experiment_id, pipeline, tags)
        yield run_id
        client.update_run(run_id, status="RUNNING")


def settle_pipeline_run(client: Any, root: Path, run_id: str) -> None:
    """Give the parent of a run that has ended, if it has one, the status of its stages together."""
    run = client.get_run(run_id)
    parent = run.data.tags.get(PARENT)
    if parent is None:
        return
    with exclusive(_lock(root), wait=True):
        stages = client.search_runs([run.info.experiment_id], f"tags.`{PARENT}` = '{parent}'", max_results=1000)
        newest = {stage.data.tags["stage"]: stage.info.status for stage in reversed(stages)}
        status = next(one for one in _STATUSES if one in newest.values())
        if status != "RUNNING":
            client.set_terminated(parent, status=status)


def _create(client: Any, experiment_id: str, pipeline: str, tags: Mapping[str, str]) -> str:
    is_trial = "trial" in tags
    common = {key: value for key, value in tags.items() if key in _OF_THE_WHOLE or key.startswith("override.")}
    told = {**common, PIPELINE: pipeline, "action": "trial" if is_trial else PIPELINE}
    return str(client.create_run(experiment_id, run_name=told["action"], tags=told).info.run_id)


def _lock(root: Path) -> Path:
    return root / "checkpoints" / "mlflow.pipeline.lock"
