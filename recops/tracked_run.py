"""One execution as a run of MLflow: what it is made with and from, what the machine does meanwhile, how it ends."""

import json
import logging
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recops.pipeline_run import PARENT, open_pipeline_run, settle_pipeline_run
from recops.tracking import MlflowTracker, open_client, prepare_store, run_exists

_DIGEST_CHARACTERS = 36
"""MLflow takes no more; the whole hash is in the tag `input.NAME`."""
_SECONDS_BETWEEN_SAMPLES = 5


@dataclass(frozen=True)
class DataSet:
    """A data set that a run reads: its name, the hash of its content, where it lies."""

    name: str
    sha256: str
    path: Path


@contextmanager
def tracked_run(
    root: Path,
    *,
    experiment: str,
    name: str,
    parameters: Mapping[str, Any],
    tags: Mapping[str, str],
    resume: str | None,
    data_sets: Sequence[DataSet] = (),
    pipeline: str | None = None,
) -> Iterator[MlflowTracker]:
    """Record one execution of a stage; the run ends FINISHED, FAILED when the block raises, KILLED when interrupted.

    Args:
        root: the project's root.
        experiment: created, with an absolute artefact location, when it does not exist.
        name: name of the run.
        parameters: resolved settings, flat.
        tags: what the run is found by.
        resume: identifier of the run that a retry continues, or None for a new run.
        data_sets: what it reads.
        pipeline: identifier of the whole that this is a part of: its run becomes the parent; None for none.
    """
    experiment_id = prepare_store(root, experiment)
    client = open_client(root)
    with open_pipeline_run(client, root, experiment_id, pipeline, tags) as parent:
        if resume and run_exists(client, resume):
            run_id = resume
            client.update_run(run_id, status="RUNNING")
        else:
            told = {**tags, **({PARENT: parent} if parent else {})}
            run_id = _create_run(client, experiment_id, name, parameters, told)
            client.log_inputs(run_id, datasets=[_dataset(one, name) for one in data_sets])
    try:
        with _machine_watched(client, run_id):
            yield MlflowTracker(client, run_id)
    except BaseException as error:
        client.set_tag(run_id, "error", str(error)[:500])
        client.set_terminated(run_id, status="FAILED" if isinstance(error, Exception) else "KILLED")
        raise
    else:
        client.set_terminated(run_id, status="FINISHED")
    finally:
        settle_pipeline_run(client, root, run_id)


@contextmanager
def _machine_watched(client: Any, run_id: str) -> Iterator[None]:
    """Record what processors, memory, disk and network do meanwhile, and GPUs where there are: metrics `system/...`."""
    from mlflow.system_metrics.system_metrics_monitor import SystemMetricsMonitor

    logging.getLogger("mlflow.system_metrics").setLevel(logging.WARNING)
    untyped: Any = SystemMetricsMonitor
    monitor = untyped(
        run_id, sampling_interval=_SECONDS_BETWEEN_SAMPLES, resume_logging=True, tracking_uri=client.tracking_uri
    )
    monitor.start()
    try:
        yield
    finally:
        monitor.finish()


def _create_run(
    client: Any, experiment_id: str, name: str, parameters: Mapping[str, Any], tags: Mapping[str, str]
) -> str:
    from mlflow.entities import Param

    run_id: str = client.create_run(experiment_id, run_name=name, tags=dict(tags)).info.run_id
    client.log_batch(run_id, params=[Param(key, str(value)[:6000]) for key, value in parameters.items()])
    return run_id


def _dataset(data_set: DataSet, context: str) -> Any:
    from mlflow.entities import Dataset, DatasetInput, InputTag

    source = json.dumps({"uri": data_set.path.as_uri()})
    dataset = Dataset(data_set.name, data_set.sha256[:_DIGEST_CHARACTERS], "local", source)
    return DatasetInput(dataset, [InputTag("mlflow.data.context", context)])
