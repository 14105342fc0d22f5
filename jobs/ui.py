"""Dagster (webserver and daemon) and MLflow on the loopback address, until Ctrl-C: `python -m jobs.ui`."""

import argparse
import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

from rich.console import Console

from recops import environment
from recops.paths import project_root
from recops.tracking import MLFLOW_PORT, MLFLOW_URL, prepare_store, store_uri

DAGSTER_PORT = 3000
DAGSTER_URL = "RECOPS_DAGSTER_URL"
HOST = "127.0.0.1"
"""Neither server asks who calls: it must not be reachable from other machines."""
SECONDS_TO_START = 120.0
SECONDS_TO_STOP = 20.0


class ServerError(Exception):
    """A server ended by itself or did not start."""


def main() -> int:
    """Start the three servers, print their links, and stop all of them on SIGINT or SIGTERM."""
    parser = argparse.ArgumentParser(prog="python -m jobs.ui", description=__doc__)
    parser.add_argument("--dagster-port", type=int, default=DAGSTER_PORT)
    parser.add_argument("--mlflow-port", type=int, default=MLFLOW_PORT)
    arguments = parser.parse_args()
    environment.prepare()
    # What the daemon starts writes links: they must lead to these servers, whatever their ports.
    os.environ[MLFLOW_URL] = f"http://{HOST}:{arguments.mlflow_port}"
    os.environ[DAGSTER_URL] = f"http://{HOST}:{arguments.dagster_port}"
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.default_int_handler)
    servers: list[subprocess.Popen[bytes]] = []
    console = Console()
    try:
        _serve(servers, console, arguments.dagster_port, arguments.mlflow_port)
    except KeyboardInterrupt:
        console.print("stopping")
        return 0
    except ServerError as error:
        console.print(f"error: {error}", style="red", highlight=False)
        return 1
    finally:
        _stop(servers)
    return 0


def _serve(servers: list[subprocess.Popen[bytes]], console: Console, dagster_port: int, mlflow_port: int) -> None:
    root = project_root()
    for port in (dagster_port, mlflow_port):
        _check_free(port)
    # Before the server, which would create a store of its own kind of experiment beside a running stage.
    prepare_store(root, "embedded")
    for name, command in commands(root, dagster_port, mlflow_port).items():
        servers.append(_start(name, command, root))
    for port in (dagster_port, mlflow_port):
        _wait_for(port, servers)
    console.print(f"Dagster  http://{HOST}:{dagster_port}", highlight=False)
    console.print(f"MLflow   http://{HOST}:{mlflow_port}", highlight=False)
    console.print(f"Ctrl-C stops them; their logs are in {log_folder()}", highlight=False)
    while True:
        _check_running(servers)
        time.sleep(1)


def commands(root: Path, dagster_port: int, mlflow_port: int) -> dict[str, list[str]]:
    """Return the three commands by name; each from the environment of this interpreter."""
    tools = Path(sys.executable).parent
    workspace = ["-w", str(root / "workspace.yaml")]
    store = ["--backend-store-uri", store_uri(root), "--artifacts-destination", (root / "mlartifacts").as_uri()]
    return {
        "dagster-webserver": [str(tools / "dagster-webserver"), *workspace, "-h", HOST, "-p", str(dagster_port)],
        "dagster-daemon": [str(tools / "dagster-daemon"), "run", *workspace],
        "mlflow": [
            str(tools / "mlflow"),
            "server",
            *store,
            "--host",
            HOST,
            "--port",
            str(mlflow_port),
            "--workers",
            "1",
        ],
    }


def log_folder() -> Path:
    """Return the folder of the servers' logs."""
    return environment.dagster_home() / "logs"


def _start(name: str, command: list[str], root: Path) -> subprocess.Popen[bytes]:
    log_folder().mkdir(parents=True, exist_ok=True)
    with (log_folder() / f"{name}.log").open("ab") as log:
        # A group of its own: Ctrl-C reaches this process alone, which then stops each server and its children.
        return subprocess.Popen(command, cwd=root, stdout=log, stderr=log, start_new_session=True)


def _check_free(port: int) -> None:
    with socket.socket() as probe:
        if probe.connect_ex((HOST, port)) == 0:
            raise ServerError(f"port {port} is in use: stop what listens there, or choose another (--help)")


def _wait_for(port: int, servers: list[subprocess.Popen[bytes]]) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        _check_running(servers)
        with socket.socket() as probe:
            if probe.connect_ex((HOST, port)) == 0:
                return
        time.sleep(0.3)
    raise ServerError(f"nothing answers at port {port} after {SECONDS_TO_START:.0f} s: see {log_folder()}")


def _check_running(servers: list[subprocess.Popen[bytes]]) -> None:
    for server in servers:
        if server.poll() is not None:
            name = Path(str(server.args[0])).name  # type: ignore[index]
            raise ServerError(f"{name} ended with code {server.returncode}: see {log_folder() / name}.log")


def _stop(servers: list[subprocess.Popen[bytes]]) -> None:
    for server in servers:
        if server.poll() is None:
            os.killpg(server.pid, signal.SIGTERM)
    for server in servers:
        try:
            server.wait(SECONDS_TO_STOP)
        except subprocess.TimeoutExpired:
            os.killpg(server.pid, signal.SIGKILL)


if __name__ == "__main__":
    sys.exit(main())
