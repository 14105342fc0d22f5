"""`mlflow models serve`, as a person starts it, and requests over HTTP."""

import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import requests

from recops.paths import Layout
from recops.tracking import store_uri
from tests.recops.registry.project import NAME

CANDIDATES = ["i3", "i9", "i14", "i20", "i27", "i33"]
SECONDS_TO_START = 180


@pytest.fixture(scope="module")
def address(registered: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    command = [str(Path(sys.executable).with_name("mlflow")), "models", "serve", "--env-manager", "local"]
    command += ["--model-uri", f"models:/{NAME}@challenger", "--host", "127.0.0.1", "--port", str(port)]
    elsewhere = tmp_path_factory.mktemp("elsewhere")
    environment = {key: value for key, value in os.environ.items() if key != "PYTHONPATH"}
    environment |= {"MLFLOW_TRACKING_URI": store_uri(registered.root), "MLFLOW_ALLOW_PICKLE_DESERIALIZATION": "false"}
    environment["PATH"] = f"{Path(sys.executable).parent}{os.pathsep}{environment['PATH']}"
    with (elsewhere / "log").open("wb") as log:
        server = subprocess.Popen(
            command, cwd=elsewhere, env=environment, stdout=log, stderr=log, start_new_session=True
        )
    try:
        _wait(f"http://127.0.0.1:{port}/ping", server, elsewhere / "log")
        yield f"http://127.0.0.1:{port}/invocations"
    finally:
        os.killpg(server.pid, signal.SIGTERM)
        server.wait(30)


def _wait(url: str, server: subprocess.Popen[bytes], log: Path) -> None:
    deadline = time.monotonic() + SECONDS_TO_START
    while time.monotonic() < deadline:
        assert server.poll() is None, log.read_text(encoding="utf-8")
        try:
            if requests.get(url, timeout=5).status_code == 200:
                return
        except requests.ConnectionError:
            time.sleep(0.5)
    raise AssertionError(f"no server after {SECONDS_TO_START} s: {log.read_text(encoding='utf-8')}")


def ask(address: str, **row: Any) -> requests.Response:
    return requests.post(address, json={"dataframe_records": [row]}, timeout=120)


@pytest.mark.slow
def test_a_request_over_http_is_answered_with_ranking_reasons_and_calls(address: str) -> None:
    answered = ask(address, user_id="u2", candidates=CANDIDATES)
    assert answered.status_code == 200
    [row] = answered.json()["predictions"]
    assert list(row) == ["user_id", "ranking", "reasons", "calls", "error"]
    assert set(row["ranking"]) <= set(CANDIDATES)
    assert row["ranking"]
    assert row["error"] is None
    assert row["reasons"]
    assert {"tool", "arguments", "answer"} == row["calls"][0].keys()
    again = ask(address, user_id="u2", candidates=CANDIDATES)
    assert again.json() == answered.json()


@pytest.mark.slow
def test_without_candidates_the_catalogue_is_searched(address: str) -> None:
    [row] = ask(address, user_id="u2", candidates=[]).json()["predictions"]
    assert set(row["ranking"]) - set(CANDIDATES)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("row", "words"),
    [
        ({"user_id": "nobody"}, "found 'nobody'; expected a user"),
        ({"user_id": "u2", "candidates": ["i1", "gone"]}, "found 'gone'; expected an item of the catalogue"),
        ({"user_id": "u2", "candidates": ["i1"]}, "expected two or more items to choose from"),
        ({"candidates": CANDIDATES}, "Model is missing inputs ['user_id']"),
    ],
)
def test_a_wrong_request_gets_400_and_one_sentence(address: str, row: dict[str, Any], words: str) -> None:
    refused = ask(address, **row)
    assert refused.status_code == 400
    assert words in refused.json()["message"]
    assert "Traceback" not in refused.text
    assert "stack_trace" not in refused.json()
