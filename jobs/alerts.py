"""Tells a web hook of every run that failed: whatever can take a JSON body, such as a chat's incoming hook."""

import http
import os
from typing import Any

import requests
from dagster import DefaultSensorStatus, RunFailureSensorContext, SkipReason, run_failure_sensor
from dagster._core.storage.tags import RETRY_NUMBER_TAG, WILL_RETRY_TAG

from jobs.follow import failure_words
from jobs.ui import DAGSTER_PORT, DAGSTER_URL, HOST

WEBHOOK = "RECOPS_WEBHOOK_URL"
_DEFAULT_URL = f"http://{HOST}:{DAGSTER_PORT}"
_SECONDS_TO_ANSWER = 10.0


class WebhookError(Exception):
    """The hook did not take the message. Says nothing of its address, which often holds a secret."""


@run_failure_sensor(default_status=DefaultSensorStatus.RUNNING)
def failed_runs(context: RunFailureSensorContext) -> SkipReason | None:
    """Post run, job, recipe and the reason of each failed step to the address in RECOPS_WEBHOOK_URL, if it is set."""
    address = os.environ.get(WEBHOOK)
    if not address:
        return SkipReason(f"{WEBHOOK} is not set: nobody is told of run {context.dagster_run.run_id[:8]}.")
    post(address, failure_message(context))
    return None


def failure_message(context: RunFailureSensorContext) -> dict[str, Any]:
    """Return what is posted: `text` for a person, as chats show it, and the same as fields for programs."""
    # As it is now: whether it is started again is written when it fails.
    run = context.instance.get_run_by_id(context.dagster_run.run_id) or context.dagster_run
    attempt, will_retry = 1 + int(run.tags.get(RETRY_NUMBER_TAG, 0)), run.tags.get(WILL_RETRY_TAG) == "true"
    recipe = run.tags.get("dagster/partition") or run.tags.get("recipe")
    steps = {event.step_key or "": failure_words(event) for event in context.get_step_failure_events()}
    reasons = [f"{step}: {reason}" for step, reason in steps.items()] or [context.failure_event.message or "no reason"]
    title = f"{run.job_name}{f' of {recipe}' if recipe else ''} failed"
    return {
        "text": "\n".join([title, *reasons, _what_follows(attempt, will_retry=will_retry)]),
        "run_id": run.run_id,
        "job": run.job_name,
        "recipe": recipe,
        "failed_steps": steps,
        "attempt": attempt,
        "will_retry": will_retry,
        "url": f"{os.environ.get(DAGSTER_URL, _DEFAULT_URL)}/runs/{run.run_id}",
    }


def _what_follows(attempt: int, *, will_retry: bool) -> str:
    if will_retry:
        return f"Attempt {attempt}: Dagster starts it again by itself, from where it was."
    return f"Attempt {attempt}: it is not started again by itself."


def post(address: str, message: dict[str, Any]) -> None:
    """Send a message as JSON.

    Raises:
        WebhookError: nobody answers, or the answer is not 2xx.
    """
    try:
        answer = requests.post(address, json=message, timeout=_SECONDS_TO_ANSWER, allow_redirects=False)
    except requests.RequestException as error:
        raise WebhookError(f"the address in {WEBHOOK} cannot be reached ({type(error).__name__})") from None
    if answer.status_code // 100 != http.HTTPStatus.OK // 100:
        raise WebhookError(f"the address in {WEBHOOK} answered {answer.status_code}")
