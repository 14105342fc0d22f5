"""Each thing that doctor looks for, broken once; a checkout in small with real files, locks and sockets."""

import fcntl
import http.server
import json
import shutil
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest

from recops import doctor
from recops.doctor import Problem
from tests.pipeline.project import CHECKOUT


@pytest.fixture
def root(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A checkout in order: recipes, Dagster's settings, DVC's folder with a remote beside it."""
    root = tmp_path / "checkout"
    shutil.copytree(CHECKOUT / "recipes", root / "recipes")
    (root / ".dvc" / "tmp").mkdir(parents=True)
    shutil.copy(CHECKOUT / ".dvc" / "config", root / ".dvc" / "config")
    (root / ".dagster").mkdir()
    shutil.copy(CHECKOUT / "dagster.yaml", root / ".dagster" / "dagster.yaml")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    monkeypatch.setenv("DAGSTER_HOME", str(root / ".dagster"))
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)
    monkeypatch.delenv("RECOPS_TELEMETRY", raising=False)
    monkeypatch.setattr(doctor, "SERVERS", {})
    monkeypatch.setattr(doctor, "MIN_FREE_MEMORY_BYTES", 0)
    monkeypatch.setattr(doctor, "MIN_FREE_DISK_BYTES", 0)
    return root


def one(problems: Iterator[Problem], what: str) -> Problem:
    """The only problem with a name."""
    [problem] = [problem for problem in problems if problem.what == what]
    return problem


def test_a_checkout_in_order_has_no_problem(root: Path) -> None:
    problems = doctor.find_problems(root, "embedded")
    # Packages and the GPU are the machine's; another test compares the packages with the lock.
    assert [problem for problem in problems if problem.what not in ("packages", "GPU")] == []


def test_another_python_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.platform, "python_version", lambda: "3.12.1")
    problem = one(doctor._python(), "Python")
    assert (problem.found, "3.11" in problem.fix) == ("3.12.1", True)


def test_a_recipe_that_is_not_there_or_is_wrong_is_named(root: Path) -> None:
    assert "no such file" in one(doctor._recipe(root, "nothing"), "recipe nothing").found
    text = (root / "recipes" / "embedded.yaml").read_text(encoding="utf-8")
    (root / "recipes" / "embedded.yaml").write_text(text.replace("seed: 7", "seed: -7", 1), encoding="utf-8")
    assert "seed" in one(doctor._recipe(root, "embedded"), "recipe embedded").found


def test_a_dvc_command_that_runs_holds_the_lock(root: Path) -> None:
    with (root / ".dvc" / "tmp" / "lock").open("w", encoding="utf-8") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        problem = one(doctor._dvc_locks(root), "DVC lock")
        assert (problem.found, problem.fix) == ("another DVC command is running", "Wait until it has finished.")
    assert list(doctor._dvc_locks(root)) == []


def test_a_lock_whose_holder_is_gone_is_named_with_its_file(root: Path) -> None:
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    readers = root / ".dvc" / "tmp" / "rwlock"
    readers.write_text(json.dumps({"data": {"read": [{"pid": gone.pid, "cmd": "repro"}]}}), encoding="utf-8")
    problem = one(doctor._dvc_locks(root), "DVC lock")
    assert str(gone.pid) in problem.found
    assert problem.fix == f"Remove {readers}"


def test_a_folder_without_dvc_is_named(root: Path) -> None:
    shutil.rmtree(root / ".dvc")
    assert "no .dvc folder" in one(doctor._dvc(root), "DVC").found


def test_a_remote_is_missing_or_cannot_be_written(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor.os, "access", lambda *_: False)  # root may write everywhere
    problem = one(doctor._dvc_remote(root), "DVC remote")
    assert problem.found == f"{root.parent / 'recops-dvc'} cannot be written", "however long the path is"
    (root / ".dvc" / "config").write_text("[core]\n    analytics = false\n", encoding="utf-8")
    assert one(doctor._dvc_remote(root), "DVC remote").fix == "Choose one: dvc remote default NAME"
    (root / ".dvc" / "config").write_text("[core]\n    remote = gone\n", encoding="utf-8")
    assert "gone" in one(doctor._dvc_remote(root), "DVC remote").found


def test_a_dagster_home_without_settings_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DAGSTER_HOME", str(root))
    assert "no dagster.yaml" in one(doctor._stores(root), "Dagster instance").found


@pytest.mark.parametrize("uri", ["file:mlruns", "./mlruns", "../mlruns", "mlruns", "/somewhere/mlruns"])
def test_a_file_store_is_named(root: Path, monkeypatch: pytest.MonkeyPatch, uri: str) -> None:
    monkeypatch.setenv("MLFLOW_TRACKING_URI", uri)
    problem = one(doctor._stores(root), "MLflow store")
    assert uri in problem.found
    assert "MLFLOW_TRACKING_URI" in problem.fix


@pytest.mark.parametrize(
    ("file", "old", "new", "whose"),
    [
        (".dagster/dagster.yaml", "enabled: false", "enabled: true", "Dagster's"),
        (".dvc/config", "analytics = false", "analytics = true", "DVC's"),
    ],
)
def test_telemetry_that_is_on_is_named(root: Path, file: str, old: str, new: str, whose: str) -> None:
    text = (root / file).read_text(encoding="utf-8")
    assert old in text
    (root / file).write_text(text.replace(old, new), encoding="utf-8")
    assert one(doctor._telemetry(root), "telemetry").found == f"{whose} is on"


def test_a_switch_that_is_on_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOPS_TELEMETRY", "on")
    problem = one(doctor._telemetry(root), "telemetry")
    assert "MLflow, Hugging Face and DVC" in problem.found
    assert problem.fix == "Unset RECOPS_TELEMETRY."


@pytest.mark.parametrize("what", ["disk", "memory"])
def test_too_little_room_is_named(root: Path, monkeypatch: pytest.MonkeyPatch, what: str) -> None:
    monkeypatch.setattr(doctor, f"MIN_FREE_{what.upper()}_BYTES", 10**18)
    assert "GB" in one(doctor._machine(root), what).found


class Answer(http.server.BaseHTTPRequestHandler):
    """Answers 200 at /health, as MLflow does, and 404 elsewhere."""

    def do_GET(self) -> None:
        self.send_response(200 if self.path == "/health" else 404)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


@pytest.fixture
def port() -> Iterator[int]:
    server = http.server.HTTPServer(("127.0.0.1", 0), Answer)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield server.server_port
    server.shutdown()
    thread.join()
    server.server_close()


def test_a_port_is_named_where_another_server_has_it(root: Path, port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(doctor, "SERVERS", {"Dagster": (port, "/server_info")})
    assert "DAGSTER_PORT=" in one(doctor._machine(root), f"port {port}").fix
    monkeypatch.setattr(doctor, "SERVERS", {"MLflow": (port, "/health")})
    assert str(Path.cwd()) in one(doctor._machine(root), f"port {port}").found, "of another checkout"
    monkeypatch.chdir(root)
    assert list(doctor._machine(root)) == [], "our own server may be there"


def test_a_port_that_listens_and_says_nothing_is_named(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    with socket.create_server(("127.0.0.1", 0)) as silent:
        number = silent.getsockname()[1]
        monkeypatch.setattr(doctor, "SERVERS", {"MLflow": (number, "/health")})
        assert one(doctor._machine(root), f"port {number}").found == "in use, and MLflow wants it"
