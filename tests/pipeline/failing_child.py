"""A child process that ends in the way that its extras name."""

import os
import signal
import socket
import sqlite3
import sys
import tempfile
from pathlib import Path

import requests
import sqlalchemy
from dagster_pipes import PipesContext

from assets.child_process import run_reported
from recops.errors import InputError, UnavailableError


def write_to_a_locked_store() -> None:
    """As MLflow does: SQLAlchemy's error in one of its own."""
    with tempfile.TemporaryDirectory() as folder, sqlite3.connect(Path(folder) / "mlflow.db") as holder:
        holder.execute("CREATE TABLE runs (id)")
        holder.execute("BEGIN IMMEDIATE")
        engine = sqlalchemy.create_engine(f"sqlite:///{folder}/mlflow.db", connect_args={"timeout": 0.1})
        try:
            with engine.begin() as writer:
                writer.execute(sqlalchemy.text("INSERT INTO runs VALUES (1)"))
        except sqlalchemy.exc.OperationalError as error:
            raise RuntimeError("the run was not recorded") from error


def ask_where_nobody_listens() -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        port = closed.getsockname()[1]
        try:
            requests.get(f"http://127.0.0.1:{port}", timeout=1)
        except requests.ConnectionError as error:
            raise RuntimeError("no answer") from error


def bad_input() -> None:
    raise InputError("items.parquet", found="half a file", expected="a whole one", next_step="Fetch it again.")


def busy() -> None:
    raise UnavailableError("dvc commit", found="a lock", expected="a free DVC lock", next_step="Wait.")


def memory() -> None:
    raise MemoryError("no room for 3 GiB")


def defect() -> None:
    raise RuntimeError("a list index")


ENDS = {
    "bad_input": bad_input,
    "busy": busy,
    "memory": memory,
    "defect": defect,
    "locked": write_to_a_locked_store,
    "unreachable": ask_where_nobody_listens,
}


def run(pipes: PipesContext) -> None:
    end = pipes.get_extra("end")
    if "say" in pipes.extras:
        pipes.report_custom_message({"text": "x" * pipes.get_extra("say")})
    if end in ENDS:
        ENDS[end]()
    if end != "well":
        os.kill(os.getpid(), signal.Signals[end])


if __name__ == "__main__":
    sys.exit(run_reported(run))
