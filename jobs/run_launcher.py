"""Starts runs as Dagster does by default, and sees when the process of one has died.

Dagster's own launcher cannot tell: a run whose machine or daemon was killed would stay "started" for ever, and with one
run at a time nothing would start after it. Run monitoring asks here, marks such a run as failed, and gives its place in
the pool back; the run is then started again from where it was (dagster.yaml, `run_retries`).
"""

import psutil
from dagster import DagsterEventType, DagsterRun, DefaultRunLauncher
from dagster._core.launcher import CheckRunHealthResult, WorkerStatus

_PID = "pid"
_SECONDS_OF_CLOCKS = 1.0
"""The kernel and Dagster take the time of day with other roundings."""


class WatchedRunLauncher(DefaultRunLauncher):
    """Runs on this machine, each in a process whose number is the first that its events name."""

    @property
    def supports_check_run_worker_health(self) -> bool:
        """Run monitoring may ask."""
        return True

    def check_run_worker_health(self, run: DagsterRun) -> CheckRunHealthResult:
        """Return whether the process of a run lives; before a run has named it, it does."""
        events = self._instance.all_logs(run.run_id, of_type=DagsterEventType.ENGINE_EVENT)
        named = [(event.timestamp, _pid(event.dagster_event.engine_event_data.metadata)) for event in events]
        time, pid = next((one for one in named if one[1]), (0.0, None))
        if pid is None or _lives(pid, time):
            return CheckRunHealthResult(WorkerStatus.RUNNING)
        return CheckRunHealthResult(WorkerStatus.FAILED, msg=f"process {pid} of the run has died")


def _pid(metadata: object) -> int | None:
    found = metadata.get(_PID) if isinstance(metadata, dict) else None
    return int(found.value) if found else None


def _lives(pid: int, named: float) -> bool:
    """Whether a process lives that was there when its number was named: numbers are given again, after a reboot too."""
    try:
        process = psutil.Process(pid)
        return process.status() != psutil.STATUS_ZOMBIE and process.create_time() <= named + _SECONDS_OF_CLOCKS
    except psutil.NoSuchProcess:
        return False
