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

_SETTINGS = {
    "DO_NOT_TRACK": "1",
    "GOMP_SPINCOUNT": "2000",
    "GX_ANALYTICS_ENABLED": "false",
    "HF_HUB_DISABLE_TELEMETRY": "1",
    "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false",
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "OMP_NUM_THREADS": "2",
    "TOKENIZERS_PARALLELISM": "false",
}

_TURN_SECONDS = 0.0005


def dagster_home() -> Path:
    """Return the folder of Dagster's runs and events: `DAGSTER_HOME` if it is set, else the project's."""
    configured = os.environ.get("DAGSTER_HOME")
    return Path(configured) if configured else project_root() / ".dagster"


def prepare() -> None:
    """Set what is not set, in this process and for its children; call it before the libraries are imported."""
    settings = {
        **_SETTINGS,
        "DAGSTER_HOME": str(dagster_home()),
        "DVC_SITE_CACHE_DIR": str(project_root() / ".dvc" / "tmp" / "site"),
    }
    for name, value in settings.items():
        os.environ.setdefault(name, value)
    sys.setswitchinterval(_TURN_SECONDS)
