"""Checkpoints of a SASRec fit: weights and optimizer state as safetensors, the rest as JSON; no pickle.

A checkpoint has a manifest like an artefact. One that does not verify is put aside and the one before is used.
"""

import shutil
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from recops.artifacts import read_json, staged, verify, write_json, write_manifest
from recops.retrieval.sasrec import SasRec

_WEIGHTS, _OPTIMIZER, _STATE = "model.safetensors", "optimizer.safetensors", "state.json"
_NUM_KEPT = 2


def save_checkpoint(
    folder: Path, number: int, *, model: SasRec, optimizer: torch.optim.Optimizer, state: dict[str, Any]
) -> None:
    """Write checkpoint `number`, whole or not at all, and delete those that are more than one behind."""
    with staged(folder / f"epoch_{number:05d}") as out:
        save_file(model.state_dict(), out / _WEIGHTS)
        save_file(_flat(optimizer), out / _OPTIMIZER)
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


def restore(checkpoint: Path, model: SasRec, optimizer: torch.optim.Optimizer) -> None:
    """Load weights and optimizer state in place."""
    model.load_state_dict(load_file(checkpoint / _WEIGHTS))
    state: dict[int, dict[str, Tensor]] = {}
    for key, tensor in load_file(checkpoint / _OPTIMIZER).items():
        index, _, name = key.partition(".")
        state.setdefault(int(index), {})[name] = tensor
    optimizer.load_state_dict({"state": state, "param_groups": optimizer.state_dict()["param_groups"]})


def _flat(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    state = optimizer.state_dict()["state"]
    return {f"{index}.{name}": tensor for index, values in state.items() for name, tensor in values.items()}
