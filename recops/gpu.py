"""What the machine says of its GPUs, asked without loading torch."""

import importlib.metadata
import os
import shutil
import subprocess
from dataclasses import dataclass

_QUERY = ("--query-gpu=name,memory.free,memory.total", "--format=csv,noheader,nounits")
_HIDDEN = ("", "-1")
"""Values of CUDA_VISIBLE_DEVICES with which no GPU is seen."""


@dataclass(frozen=True)
class Gpu:
    """One NVIDIA GPU; memory in MiB, None where the driver does not tell."""

    name: str
    free: int | None
    total: int | None


def nvidia_gpus() -> list[Gpu] | str:
    """Return the GPUs that the driver lists, none where there is no driver, or what the driver complains of."""
    command = shutil.which("nvidia-smi")
    if command is None:
        return []
    try:
        asked = subprocess.run([command, *_QUERY], capture_output=True, text=True, timeout=20, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return str(error)
    if asked.returncode:
        return (asked.stderr or asked.stdout).strip() or f"nvidia-smi ended with code {asked.returncode}"
    return [_gpu(line) for line in asked.stdout.splitlines() if line.strip()]


def torch_has_gpu() -> bool:
    """Return whether torch would compute on a GPU: one is listed, it is not hidden, and this torch is no CPU build."""
    if torch_is_for_cpu() or os.environ.get("CUDA_VISIBLE_DEVICES", "all").strip() in _HIDDEN:
        return False
    gpus = nvidia_gpus()
    return isinstance(gpus, list) and bool(gpus)


def torch_is_for_cpu() -> bool:
    """Return whether the installed torch was built without CUDA."""
    return importlib.metadata.version("torch").endswith("+cpu")


def _gpu(line: str) -> Gpu:
    name, free, total = (part.strip() for part in line.rsplit(",", 2))
    return Gpu(name, *(int(text) if text.isdigit() else None for text in (free, total)))
