"""Which of the processes that train together this one is, as `accelerate launch` says; alone, the first of one."""

import os

from recops.errors import InputError

ACCELERATE = "RECOPS_ACCELERATE"
"""Variable of the environment that names accelerate's configuration; without it a training is one process."""


def rank() -> int:
    """Return which worker this process is, 0 where there is one process."""
    return int(os.environ.get("RANK", "0"))


def num_workers() -> int:
    """Return how many processes train together."""
    return int(os.environ.get("WORLD_SIZE", "1"))


def share(count: int, *, where: str) -> int:
    """Return how many of a step's `count` examples fall to each worker.

    Raises:
        InputError: they cannot be shared equally.
    """
    if count % num_workers():
        step = f"Change it, or num_processes in the file that {ACCELERATE} names."
        expected = f"a multiple of the {num_workers()} workers"
        raise InputError(where, found=count, expected=expected, next_step=step)
    return count // num_workers()
