"""A run that keeps its place in a pool until a file is there: `python -m tests.pipeline.pooled_run JOB FILE`."""

import sys
import time
from pathlib import Path

from dagster import DagsterInstance, OpExecutionContext, execute_job, job, op, reconstructable

from assets.pools import DVC_POOL, TRAINING_POOL


@op(pool=TRAINING_POOL, config_schema={"file": str})
def hold_training(context: OpExecutionContext) -> None:
    wait_for(Path(context.op_config["file"]))


@op(pool=DVC_POOL, config_schema={"file": str})
def hold_dvc(context: OpExecutionContext) -> None:
    wait_for(Path(context.op_config["file"]))


def wait_for(file: Path) -> None:
    while not file.exists():
        time.sleep(0.05)


@job
def train() -> None:
    hold_training()


@job
def record() -> None:
    hold_dvc()


if __name__ == "__main__":
    held, [job_name, file] = {"train": (train, "hold_training"), "record": (record, "hold_dvc")}, sys.argv[1:]
    definition, step = held[job_name]
    config = {"ops": {step: {"config": {"file": file}}}}
    with DagsterInstance.get() as instance:
        done = execute_job(reconstructable(definition), instance, run_config=config, tags={"file": file})
    sys.exit(0 if done.success else 1)
