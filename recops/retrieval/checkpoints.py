"""Checkpoints of a SASRec fit: weights and optimizers' states as safetensors, the rest as JSON; no pickle.

A checkpoint has a manifest like an artefact. One that does not verify is put aside and the one before is used.
"""

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn
from torch.optim import Optimizer

from recops.artifacts import read_json, staged, verify, write_json, write_manifest

Parts = Mapping[str, nn.Module | Optimizer]
"""Name of a file -> what it holds."""

_STATE = "state.json"
_NUM_KEPT = 2


def save_checkpoint(folder: Path, number: int, parts: Parts, state: dict[str, Any]) -> None:
    """Write checkpoint `number`, whole or not at all, and delete those that are more than one behind."""
    with staged(folder / f"epoch_{number:05d}") as out:
        for name, part in parts.items():
            save_file(_tensors(part), out / f"{name}.safetensors")
        write_json(out / _STATE, state)
        write_manifest(out, {})
    for old in sorted(folder.glob("epoch_*"))[:-_NUM_KEPT]:
        shutil.rmtree(old)


def newest_checkpoint(folder: Path) -> Path | None:
    """Return the newest checkpoint that verifies; damaged ones are renamed to `damaged_epoch_...`."""
    for found in sorted(folder.glob("epoch_*"), reverse=True):
        try:
            verify(found)
        except ValueError as error:  # InputError, or a manifest that is no JSON
            print(f"checkpoint put aside: {error}", flush=True)
            aside = found.with_name(f"damaged_{found.name}")
            shutil.rmtree(aside, ignore_errors=True)
            found.rename(aside)
        else:
            return found
    return None


def read_state(checkpoint: Path) -> dict[str, Any]:
    """Return the JSON part of a checkpoint."""
    state: dict[str, Any] = read_json(checkpoint / _STATE)
    return state


def restore(checkpoint: Path, parts: Parts) -> None:
    """Load weights and optimizers' states in place."""
    for name, part in parts.items():
        tensors = load_file(checkpoint / f"{name}.safetensors")
        if isinstance(part, nn.Module):
            part.load_state_dict(tensors)
        else:
            part.load_state_dict({"state": _nested(tensors), "param_groups": part.state_dict()["param_groups"]})


def _tensors(part: nn.Module | Optimizer) -> dict[str, Tensor]:
    if isinstance(part, nn.Module):
        return part.state_dict()
    state = part.state_dict()["state"]
    return {
        f"{index}.{name}": torch.as_tensor(value) for index, values in state.items() for name, value in values.items()
    }


def _nested(tensors: Mapping[str, Tensor]) -> dict[int, dict[str, Tensor | int]]:
    """Undo `_tensors`; SparseAdam counts its steps in a Python number, and with a tensor its last bits would differ."""
    state: dict[int, dict[str, Tensor | int]] = {}
    for key, tensor in tensors.items():
        index, _, name = key.partition(".")
        counted = tensor.ndim == 0 and not tensor.is_floating_point()
        state.setdefault(int(index), {})[name] = int(tensor) if counted else tensor
    return state
