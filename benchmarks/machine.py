"""What a timing is of: the commit, the processor and what else ran."""

import os
import platform
from pathlib import Path

import psutil

from recops.versioning import git_commit

ROOT = Path(__file__).resolve().parent.parent
_CPU_FACTS = Path("/proc/cpuinfo")


def described() -> str:
    """Return one line: commit, processor, cores, memory, system, and the load of the last minute."""
    memory = psutil.virtual_memory().total / 2**30
    facts = f"{psutil.cpu_count()} cores, {memory:.0f} GiB, {platform.platform()}, load {os.getloadavg()[0]:.1f}"
    return f"commit {git_commit(ROOT)}, {_processor()}, {facts}"


def _processor() -> str:
    """Return the model of the processor; on Linux `platform.processor` is empty or the architecture."""
    if _CPU_FACTS.is_file():
        for line in _CPU_FACTS.read_text(encoding="utf-8").splitlines():
            key, _, value = line.partition(":")
            if key.strip() == "model name":
                return value.strip()
    return platform.processor() or platform.machine()
