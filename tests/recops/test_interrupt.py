import subprocess
import sys
import textwrap

import pytest

from tests.pipeline.project import CHECKOUT


def exits_of(body: str) -> subprocess.CompletedProcess[str]:
    """Run `body` in a process of its own, for signal handlers belong to a process."""
    code = "import os, signal\nfrom recops import interrupt\ninterrupt.install()\n" + textwrap.dedent(body)
    return subprocess.run([sys.executable, "-c", code], cwd=CHECKOUT, capture_output=True, text=True, check=False)


@pytest.mark.parametrize("name", ["SIGINT", "SIGTERM"])
def test_a_signal_stops_at_once_outside_a_deferred_block(name: str) -> None:
    done = exits_of(f"""
        try:
            os.kill(os.getpid(), signal.{name})
            print("went on")
        except interrupt.Interrupted as stop:
            print(stop)
    """)
    assert done.stdout == f"stopped by {name}; the next start resumes\n"


def test_a_deferred_block_reaches_its_safe_point() -> None:
    done = exits_of("""
        try:
            with interrupt.deferred():
                os.kill(os.getpid(), signal.SIGTERM)
                print("saved", interrupt.requested())
            interrupt.stop_if_requested()
            print("went on")
        except interrupt.Interrupted:
            print("stopped")
    """)
    assert done.stdout == "saved True\nstopped\n"


def test_a_second_signal_does_not_wait() -> None:
    done = exits_of("""
        try:
            with interrupt.deferred():
                os.kill(os.getpid(), signal.SIGTERM)
                os.kill(os.getpid(), signal.SIGTERM)
                print("went on")
        except interrupt.Interrupted:
            print("stopped")
    """)
    assert done.stdout == "stopped\n"


def test_a_broad_except_does_not_swallow_it() -> None:
    done = exits_of("""
        try:
            os.kill(os.getpid(), signal.SIGINT)
        except Exception:
            print("swallowed")
    """)
    assert "swallowed" not in done.stdout
    assert done.returncode != 0


def test_nothing_is_requested_without_a_signal() -> None:
    done = exits_of("interrupt.stop_if_requested(); print(interrupt.requested())")
    assert done.stdout == "False\n"
