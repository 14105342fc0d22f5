"""A child process that ends in the way that its extras name."""

import os
import signal
import sys

from dagster_pipes import PipesContext

from assets.child_process import run_reported
from recops.errors import InputError


def run(pipes: PipesContext) -> None:
    end = pipes.get_extra("end")
    if "say" in pipes.extras:
        pipes.report_custom_message({"text": "x" * pipes.get_extra("say")})
    if end == "bad_input":
        raise InputError("items.parquet", found="half a file", expected="a whole one", next_step="Fetch it again.")
    if end == "memory":
        raise MemoryError("no room for 3 GiB")
    if end == "defect":
        raise RuntimeError("a list index")
    if end != "well":
        os.kill(os.getpid(), signal.Signals[end])


if __name__ == "__main__":
    sys.exit(run_reported(run))
