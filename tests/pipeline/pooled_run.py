"""A run that keeps its place in the pool until a file is there: `python -m tests.pipeline.pooled_run FILE`."""

import sys
import time
from pathlib import Path

from dagster import DagsterInstance, OpExecutionContext, execute_job, job, op, reconstructable

from assets.stage import TRAINING_POOL


@op(pool=TRAINING_POOL, config_schema={"file": str})
def hold(context: OpExecutionContext) -> None:
    while not Path(context.op_config["file"]).exists():
        time.sleep(0.05)


@job
def holding() -> None:
    hold()


if __name__ == "__main__":
    config = {"ops": {"hold": {"config": {"file": sys.argv[1]}}}}
    with DagsterInstance.get() as instance:
        done = execute_job(reconstructable(holding), instance, run_config=config, tags={"file": sys.argv[1]})
    sys.exit(0 if done.success else 1)
