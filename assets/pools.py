"""The pools in which steps wait for their turn, each with one place (dagster.yaml).

A step holds one pool and waits for no other, so that no two can wait for each other. What writes through DVC at the end
of a training waits there for DVC's own lock, which nobody holds while waiting for a pool.
"""

from recops.gpu import torch_has_gpu

DVC_POOL = "dvc"
"""Steps that read, check and record data: little to compute, many files to be written and hashed."""
GPU_POOL, CPU_POOL = "gpu", "training"
TRAINING_POOL = GPU_POOL if torch_has_gpu() else CPU_POOL
"""Everything that computes wants the whole machine: its GPU where torch has one, else its cores.

Chosen when the code location is loaded, for Dagster fixes the pool of an asset then, and the device is the machine's.
"""
