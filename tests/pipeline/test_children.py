"""Which ends of a child process Dagster tries again, with real processes that end so."""

from collections.abc import Mapping
from typing import Any

import pytest
from dagster import AssetKey, DagsterEventType, OpExecutionContext, PipesSubprocessClient, RetryPolicy, job, op

from assets.children import RETRIES, run_child
from jobs.definitions import defs
from jobs.follow import failure_words, retry_words
from recops.stage import STAGE_NAMES


@op(retry_policy=RetryPolicy(max_retries=1), config_schema={"end": str})
def ending(context: OpExecutionContext, pipes: PipesSubprocessClient) -> None:
    extras: Mapping[str, Any] = {"end": context.op_config["end"]}
    run_child(context, pipes, "tests.pipeline.failing_child", what="the stage", extras=extras)


@job(resource_defs={"pipes": PipesSubprocessClient()})
def endings() -> None:
    ending()


def end(how: str) -> tuple[bool, list[str], list[str]]:
    """Whether the job succeeded, why it was tried again, and why it failed."""
    config = {"ops": {"ending": {"config": {"end": how}}}}
    result = endings.execute_in_process(run_config=config, raise_on_error=False)
    events = {kind: [] for kind in (DagsterEventType.STEP_UP_FOR_RETRY, DagsterEventType.STEP_FAILURE)}
    for event in result.all_events:
        if event.event_type in events:
            events[event.event_type].append(event)
    retried, failed = events.values()
    return result.success, [retry_words(event) for event in retried], [failure_words(event) for event in failed]


def test_a_child_that_ends_well_is_not_tried_again() -> None:
    assert end("well") == (True, [], [])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("SIGKILL", "the stage: killed by SIGKILL, as the kernel does when memory runs out"),
        ("SIGSEGV", "the stage: killed by SIGSEGV"),
        ("SIGTERM", "the stage: interrupted: stopped by SIGTERM; the next start resumes"),
        ("memory", "the stage: MemoryError: no room for 3 GiB"),
        ("busy", "the stage: dvc commit: found a lock; expected a free DVC lock. Wait."),
        ("locked", "the stage: RuntimeError: the run was not recorded"),
        ("unreachable", "the stage: RuntimeError: no answer"),
    ],
)
def test_what_the_machine_did_is_tried_again_and_then_fails(how: str, words: str) -> None:
    assert end(how) == (False, [words], [words])


@pytest.mark.parametrize(
    ("how", "words"),
    [
        ("bad_input", "the stage: items.parquet: found half a file; expected a whole one. Fetch it again."),
        ("defect", "the stage: RuntimeError: a list index"),
    ],
)
def test_bad_data_and_a_defect_are_not_tried_again(how: str, words: str) -> None:
    assert end(how) == (False, [], [words])


def test_every_stage_has_the_policy() -> None:
    for name in STAGE_NAMES:
        assert defs.resolve_assets_def(AssetKey(name)).op.retry_policy == RETRIES
