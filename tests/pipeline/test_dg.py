"""`dg check defs` and `dg dev`, Dagster's own ways to check and to start everything: they find the code location."""

import json
import os
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request

import psutil
import pytest

from recops.stage import STAGE_NAMES
from tests.pipeline.project import Project

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]

QUERY = {"query": "{ assetNodes { assetKey { path } } }"}
SECONDS_TO_START = 180.0


def asked(port: int) -> list[str] | None:
    """Names of the assets that the server at a port knows, None where nobody answers yet."""
    request = urllib.request.Request(
        f"http://127.0.0.1:{port}/graphql",
        data=json.dumps(QUERY).encode(),
        headers={"Content-Type": "application/json"},
    )
    try:
        with urllib.request.urlopen(request, timeout=30) as answer:
            nodes = json.load(answer)["data"]["assetNodes"]
    except (urllib.error.URLError, ConnectionError, TimeoutError):
        return None
    return [node["assetKey"]["path"][-1] for node in nodes]


def test_dg_check_finds_nothing_wrong_and_says_what_is(project: Project) -> None:
    environment = {**project.environment, "DAGSTER_HOME": str(project.root / ".dagster")}
    command = ["dg", "check", "defs", "--use-active-venv"]
    whole = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True)
    assert whole.returncode == 0, whole.stdout + whole.stderr
    with (project.root / "jobs" / "definitions.py").open("a", encoding="utf-8") as definitions:
        definitions.write("\nraise RuntimeError('no definitions today')\n")
    broken = subprocess.run(command, cwd=project.root, env=environment, capture_output=True, text=True)
    assert broken.returncode != 0
    assert "no definitions today" in broken.stdout + broken.stderr


def test_dg_dev_serves_the_graph_on_the_loopback_address(project: Project) -> None:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    home = project.root / ".dagster"
    command = ["dg", "dev", "--host", "127.0.0.1", "--port", str(port), "--use-active-venv"]
    environment = {**project.environment, "DAGSTER_HOME": str(home), "DAGSTER_DISABLE_TELEMETRY": "yes"}
    with (home / "dg.log").open("w") as log:
        process = subprocess.Popen(
            command, cwd=project.root, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        deadline = time.monotonic() + SECONDS_TO_START
        while not (found := asked(port)) and time.monotonic() < deadline:
            assert process.poll() is None, (home / "dg.log").read_text()
            time.sleep(1)
        assert sorted(found or []) == sorted([*STAGE_NAMES, "champion"]), (home / "dg.log").read_text()
        processes = [psutil.Process(process.pid), *psutil.Process(process.pid).children(recursive=True)]
        listening = [one for each in processes for one in each.net_connections() if one.status == psutil.CONN_LISTEN]
        assert port in {one.laddr.port for one in listening}
        assert {one.laddr.ip for one in listening} == {"127.0.0.1"}
    finally:
        os.killpg(process.pid, signal.SIGINT)
        try:
            process.wait(30)
        except subprocess.TimeoutExpired:
            os.killpg(process.pid, signal.SIGKILL)
