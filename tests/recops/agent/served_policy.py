"""`transformers serve` in a process of its own, pinned to one policy's folder: a real server of the protocol."""

import os
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
import requests


@contextmanager
def served_policy(folder: Path) -> Iterator[str]:
    """Yield the address of a server that answers with the policy in a folder."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    program = Path(sys.executable).with_name("transformers")
    arguments = ["serve", str(folder), "--host", "127.0.0.1", "--port", str(port), "--device", "cpu"]
    environment = {**os.environ, "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"}
    process = subprocess.Popen(
        [str(program), *arguments], env=environment, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    )
    url = f"http://127.0.0.1:{port}"
    try:
        _wait(process, f"{url}/health")
        yield f"{url}/v1"
    finally:
        process.terminate()
        process.wait(timeout=30)


def _wait(process: "subprocess.Popen[str]", url: str) -> None:
    for _ in range(240):
        if process.poll() is not None:
            assert process.stdout is not None
            pytest.fail(f"transformers serve ended: {process.stdout.read()[-2000:]}")
        try:
            if requests.get(url, timeout=1).ok:
                return
        except requests.ConnectionError:
            time.sleep(0.5)
    pytest.fail("transformers serve did not start in two minutes")
