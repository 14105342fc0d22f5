"""Tells a person at the terminal what a Dagster run is doing, from the events that it records."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager

from dagster import DagsterEvent, DagsterEventType, DagsterInstance, RunsFilter
from dagster._utils.error import SerializableErrorInfo
from rich.console import Console

SECONDS_BETWEEN_LOOKS = 1.0
_FAILURE = "dagster._core.definitions.events.Failure: "


class Follower:
    """Prints one line when a step starts, ends or fails, and for every asset check."""

    def __init__(self, instance: DagsterInstance, tags: dict[str, str], console: Console) -> None:
        self._instance, self._tags, self._console = instance, tags, console
        self._cursor: str | None = None
        self._run_id: str | None = None
        self._started: dict[str, float] = {}

    def look(self) -> None:
        """Print what has happened since the last look."""
        if self._run_id is None:
            self._run_id = next(iter(self._instance.get_run_ids(RunsFilter(tags=self._tags), limit=1)), None)
        if self._run_id is None:
            return
        page = self._instance.get_records_for_run(self._run_id, cursor=self._cursor)
        self._cursor = page.cursor
        for record in page.records:
            if record.event_log_entry.dagster_event:
                self._tell(record.event_log_entry.dagster_event, record.event_log_entry.timestamp)

    def _tell(self, event: DagsterEvent, time: float) -> None:
        step = event.step_key or ""
        if event.event_type == DagsterEventType.STEP_START:
            self._started[step] = time
            self._say(f"[bold]{step}[/bold] started")
        elif event.event_type == DagsterEventType.STEP_SUCCESS:
            self._say(f"[bold]{step}[/bold] [green]finished[/green] in {time - self._started[step]:.0f} s")
        elif event.event_type == DagsterEventType.STEP_UP_FOR_RETRY:
            self._say(f"[bold]{step}[/bold] [yellow]ended early[/yellow]: {retry_words(event)}")
        elif event.event_type == DagsterEventType.STEP_RESTARTED:
            self._say(f"[bold]{step}[/bold] is tried again")
        elif event.event_type == DagsterEventType.STEP_FAILURE:
            self._say(f"[bold]{step}[/bold] [red]failed[/red]")
            self._console.print(failure_words(event), style="red", markup=False, highlight=False, soft_wrap=True)
        elif event.event_type == DagsterEventType.ASSET_CHECK_EVALUATION:
            self._tell_check(event)

    def _tell_check(self, event: DagsterEvent) -> None:
        check = event.asset_check_evaluation_data
        colour, word = ("green", "holds") if check.passed else ("red", f"does not hold ({check.severity.value})")
        self._say(f"check [bold]{check.check_name}[/bold] [{colour}]{word}[/{colour}]: {check.description or ''}")

    def _say(self, text: str) -> None:
        self._console.print(text, highlight=False, soft_wrap=True)


def failure_words(event: DagsterEvent) -> str:
    """Return why a step failed: the stage's own words where it gave any, else Dagster's."""
    data = event.step_failure_data
    if data.user_failure_data and data.user_failure_data.description:
        return data.user_failure_data.description
    return _words(data.error)


def retry_words(event: DagsterEvent) -> str:
    """Return why a step is to be tried again; when the run is being stopped, it is not."""
    return _words(event.step_retry_data.error)


def _words(error: SerializableErrorInfo | None) -> str:
    """The innermost cause, which is the one that says something; of a failure of ours, its words."""
    while error and error.cause and not error.message.startswith(_FAILURE):
        error = error.cause
    if error and error.cls_name == "DagsterExecutionInterruptedError":
        return "stopped by a signal"
    return error.message.strip().removeprefix(_FAILURE) if error else "no reason was recorded"


@contextmanager
def following(follower: Follower) -> Iterator[None]:
    """Look every second for as long as the block runs, and once more at its end."""
    stop = threading.Event()

    def loop() -> None:
        while not stop.wait(SECONDS_BETWEEN_LOOKS):
            follower.look()

    thread = threading.Thread(target=loop, daemon=True)
    thread.start()
    try:
        yield
    finally:
        stop.set()
        thread.join()
        follower.look()
