"""What every child process of Dagster does around its work: it dies with its parent, and says why it failed."""

import ctypes
import os
import signal
import sys
import traceback
from collections.abc import Callable
from pathlib import Path

from dagster_pipes import PipesContext, open_dagster_pipes

from recops import environment, interrupt
from recops.artifacts import write_json
from recops.errors import InputError, UnavailableError
from recops.stages import EXIT_BAD_INPUT, EXIT_INTERRUPTED

_PR_SET_PDEATHSIG = 1
EXIT_FAILED = 1
_OF_THE_MACHINE = {"MemoryError", "OutOfMemoryError", "ConnectionError", "TimeoutError", "Timeout"}
"""Of Python, of torch and of requests, which are not imported for their names."""
_LOCKED = "database is locked"
"""What SQLite says of a store that another process writes, through every library that wraps its error."""


def run_reported(work: Callable[[PipesContext], None]) -> int:
    """Do the work under Dagster Pipes and return the exit code; why it failed is in the file `failure` of the extras.

    Input that is wrong and defects of ours fail in the same way again; a want of memory, a server out of reach, a store
    that another process holds, and a signal that this process alone was sent may not.
    """
    die_with_parent()
    interrupt.install()
    environment.prepare()
    with open_dagster_pipes() as pipes:
        failure = Path(str(pipes.get_extra("failure")))
        try:
            work(pipes)
        except InputError as error:
            _tell(failure, str(error), retry=isinstance(error, UnavailableError))
            return EXIT_BAD_INPUT
        except interrupt.Interrupted as stop:
            _tell(failure, f"interrupted: {stop}", retry=True)
            return EXIT_INTERRUPTED
        except Exception as error:  # the boundary of the process: Dagster shows the words, the log keeps the traceback
            traceback.print_exc()
            _tell(failure, f"{type(error).__name__}: {error}", retry=_is_of_the_machine(error))
            return EXIT_FAILED
    return 0


def _is_of_the_machine(error: BaseException) -> bool:
    """Whether an error, or one that it was raised for, is no fault of the input or the code."""
    kinds = {kind.__name__ for kind in type(error).__mro__}
    if not kinds.isdisjoint(_OF_THE_MACHINE) or ("OperationalError" in kinds and _LOCKED in str(error)):
        return True
    before = error.__cause__ or error.__context__
    return before is not None and _is_of_the_machine(before)


def _tell(failure: Path, words: str, *, retry: bool) -> None:
    write_json(failure, {"words": words, "retry": retry})


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies, so that `kill -9` of a step leaves no training behind.

    Linux only; elsewhere the lock of the stage's folder keeps a second execution away from the first.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)
