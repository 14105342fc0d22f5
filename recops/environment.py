"""Environment of every process that runs stages: nothing calls home, state stays in the project, threads are counted.

Two threads, whatever the machine has: how a sum is split over threads decides its last digits, and a training's too.
They wait for each other spinning for some microseconds and then asleep: whoever spins longer takes a core from whatever
runs beside, and it from them; whoever sleeps at once is a third slower on an idle machine.

Threads of Python take turns ten times as often as they would: one that comes back from numpy otherwise waits 5 ms for
the interpreter's lock, with a tool's answer that takes a tenth of one.
"""

import os
import sys
from pathlib import Path

from recops.paths import project_root

TELEMETRY = "RECOPS_TELEMETRY"
"""The one switch: `off` (as where it is not set) turns off what every library would send, `on` leaves it to them."""

_NOTHING_SENT = {
    "DO_NOT_TRACK": "true",
    "DVC_NO_ANALYTICS": "true",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_DISABLE_TELEMETRY": "true",
}
"""Dagster knows no variable: its part is in dagster.yaml. DVC's is in .dvc/config too, for who calls it alone."""

_SETTINGS = {
    "GOMP_SPINCOUNT": "2000",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "OMP_NUM_THREADS": "2",
    "TOKENIZERS_PARALLELISM": "false",
}

_TURN_SECONDS = 0.0005


def dagster_home() -> Path:
    """Return the folder of Dagster's runs and events: `DAGSTER_HOME` if it is set, else the project's."""
    configured = os.environ.get("DAGSTER_HOME")
    return Path(configured) if configured else project_root() / ".dagster"


def sends_telemetry() -> bool:
    """Whether the libraries may decide for themselves; any word but `on` is no leave to send."""
    return os.environ.get(TELEMETRY, "off").lower() == "on"


def prepare() -> None:
    """Set what is not set, in this process and for its children; call it before the libraries are imported.

    Telemetry is turned off whatever the libraries' own variables say: there is one switch.
    """
    if not sends_telemetry():
        os.environ.update(_NOTHING_SENT)
    settings = {
        **_SETTINGS,
        "DAGSTER_HOME": str(dagster_home()),
        "DVC_SITE_CACHE_DIR": str(project_root() / ".dvc" / "tmp" / "site"),
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    sys.setswitchinterval(_TURN_SECONDS)
