"""A failed run is told to a web hook: a real run, and a real server on the loopback address."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from dagster import (
    DagsterInstance,
    Failure,
    RunFailureSensorContext,
    SkipReason,
    build_run_status_sensor_context,
    job,
    op,
)

from jobs.alerts import WEBHOOK, WebhookError, failed_runs
from tests.pipeline.hook import Hook, listening
from tests.pipeline.project import CHECKOUT


@pytest.fixture
def hook(monkeypatch: pytest.MonkeyPatch) -> Iterator[Hook]:
    with listening() as server:
        monkeypatch.setenv(WEBHOOK, server.address)
        yield server


@op
def read() -> None:
    raise Failure("raw_data: events.csv: found no such file", allow_retries=False)


@job(tags={"dagster/partition": "embedded"})
def refresh() -> None:
    read()


@pytest.fixture
def failure() -> Iterator[RunFailureSensorContext]:
    with DagsterInstance.ephemeral() as instance:
        result = refresh.execute_in_process(instance=instance, raise_on_error=False)
        yield build_run_status_sensor_context(
            sensor_name="failed_runs",
            dagster_event=result.get_run_failure_event(),
            dagster_instance=instance,
            dagster_run=result.dagster_run,
        ).for_run_failure()


def test_the_hook_gets_run_recipe_and_reason(hook: Hook, failure: RunFailureSensorContext) -> None:
    assert failed_runs(failure) is None
    [message] = hook.posted
    assert message["text"] == (
        "refresh of embedded failed\nread: raw_data: events.csv: found no such file\n"
        "Attempt 1: it is not started again by itself."
    )
    assert (message["attempt"], message["will_retry"]) == (1, False)
    assert (message["run_id"], message["job"], message["recipe"]) == (failure.dagster_run.run_id, "refresh", "embedded")
    assert message["failed_steps"] == {"read": "raw_data: events.csv: found no such file"}
    assert message["url"] == f"http://127.0.0.1:3000/runs/{failure.dagster_run.run_id}"


@pytest.mark.parametrize(
    ("attempt", "will_retry", "words"),
    [
        (1, True, "Attempt 1: Dagster starts it again by itself, from where it was."),
        (2, True, "Attempt 2: Dagster starts it again by itself, from where it was."),
        (3, False, "Attempt 3: it is not started again by itself."),
    ],
)
def test_the_hook_is_told_whether_a_run_that_died_is_started_again(
    hook: Hook, tmp_path: Path, attempt: int, will_retry: bool, words: str
) -> None:
    (tmp_path / "dagster.yaml").write_bytes((CHECKOUT / "dagster.yaml").read_bytes())
    with DagsterInstance.from_config(str(tmp_path)) as instance:
        runs = [instance.create_run_for_job(refresh)]
        for number in range(1, attempt):
            first = {"root_run_id": runs[0].run_id, "parent_run_id": runs[-1].run_id}
            tags = {f"dagster/{key}": value for key, value in first.items()}
            tags["dagster/retry_number"] = str(number)
            runs.append(instance.create_run_for_job(refresh, tags=tags, **first))
        event = instance.report_run_failed(runs[-1], "process 7 of the run has died")
        context = build_run_status_sensor_context(
            sensor_name="failed_runs", dagster_event=event, dagster_instance=instance, dagster_run=runs[-1]
        )
        failed_runs(context.for_run_failure())
    [message] = hook.posted
    assert (message["attempt"], message["will_retry"]) == (attempt, will_retry)
    assert message["text"].endswith(words)


def test_without_an_address_nobody_is_told(failure: RunFailureSensorContext, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(WEBHOOK, raising=False)
    skipped = failed_runs(failure)
    assert isinstance(skipped, SkipReason)
    assert WEBHOOK in str(skipped.skip_message)


def test_a_hook_that_refuses_fails_the_tick_and_its_address_is_not_told(
    hook: Hook, failure: RunFailureSensorContext
) -> None:
    hook.status = 403
    with pytest.raises(WebhookError, match="answered 403") as raised:
        failed_runs(failure)
    assert "secret" not in str(raised.value)


def test_a_message_does_not_follow_a_hook_that_sends_it_elsewhere(hook: Hook, failure: RunFailureSensorContext) -> None:
    hook.status = 307
    with pytest.raises(WebhookError, match="answered 307"):
        failed_runs(failure)
    assert len(hook.posted) == 1


def test_a_hook_that_nobody_answers_fails_the_tick_and_its_address_is_not_told(
    failure: RunFailureSensorContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(WEBHOOK, "http://127.0.0.1:9/hook/secret")
    with pytest.raises(WebhookError, match="cannot be reached") as raised:
        failed_runs(failure)
    assert "secret" not in str(raised.value)
    assert raised.value.__suppress_context__
    assert raised.value.__cause__ is None, "it would tell the address"
