"""How a SASRec fit grows with the catalogue: seconds, speed and memory on synthetic sequences.

`python -m benchmarks.sasrec_growth` starts one process per size, so that each has a peak of its own. The bound is twice
what embeddings, optimizer and one batch need, beyond what an imported torch holds.
"""

import argparse
import json
import resource
import subprocess
import sys
import time
from pathlib import Path

import numpy as np

from benchmarks import machine

NUM_NEGATIVES, WIDTH, BATCH_SIZE, MAX_LENGTH, NUM_USERS, ITEMS_PER_USER = 1024, 64, 128, 50, 5_000, 10
BYTES = 4


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, nargs="+", default=[10_000, 100_000, 1_000_000])
    parser.add_argument("--one", type=int, help=argparse.SUPPRESS)
    asked = parser.parse_args()
    if asked.one:
        print(json.dumps(measure(asked.one)))
        return
    print(f"{machine.described()}\n")
    print("| Items | Sequences/s | Peak beyond torch, MB | Embeddings, optimizer, batch, MB | Ratio |")
    print("|---|---|---|---|---|")
    for number in asked.items:
        command = [sys.executable, "-m", "benchmarks.sasrec_growth", "--one", str(number)]
        shown = subprocess.run(command, check=True, capture_output=True, text=True, cwd=Path(__file__).parents[1])
        facts = json.loads(shown.stdout.splitlines()[-1])
        ratio = facts["peak"] / facts["needed"]
        speed = f"{facts['speed']:,.0f}"
        print(f"| {number:,} | {speed} | {facts['peak'] / 1e6:,.0f} | {facts['needed'] / 1e6:,.0f} | {ratio:.2f} |")


def measure(num_items: int) -> dict[str, float]:
    """Fit one epoch of synthetic sequences with a sampled softmax."""
    import torch

    from recops.config.sasrec_embeddings import SasrecConfig
    from recops.retrieval.training import Training

    torch.set_num_threads(2)
    config = SasrecConfig.model_validate(
        {
            "width": WIDTH,
            "num_layers": 2,
            "num_heads": 2,
            "max_length": MAX_LENGTH,
            "dropout": 0.2,
            "training_sequences": "windows",
            "loss": {"kind": "sampled_softmax", "num_negatives": NUM_NEGATIVES},
            "batch_size": BATCH_SIZE,
            "learning_rate": 0.001,
            "warmup_steps": 0,
            "weight_decay": 0.0,
            "average_decay": 0.0,
            "max_epochs": 1,
            "patience_epochs": 1,
            "exact_search_max_users": 100_000,
        }
    )
    _warm_up(config)
    rows = _rows(num_items, seed=1)
    before = _peak_bytes()
    training = Training(rows, config, 1)
    started = time.monotonic()
    training.run_epoch(1, f"{num_items:,} items")
    speed = NUM_USERS / (time.monotonic() - started)
    # Weights and two moments; a batch: its logits, their gradient, and some twenty states per position and layer.
    positions = BATCH_SIZE * (ITEMS_PER_USER - 1)
    batch = positions * (2 * NUM_NEGATIVES + 40 * WIDTH) * BYTES
    return {"speed": speed, "peak": _peak_bytes() - before, "needed": 3 * num_items * WIDTH * BYTES + batch}


def _warm_up(config: object) -> None:
    """Load what the first step of any fit loads, so that it does not count."""
    from recops.retrieval.training import Training

    rows = _rows(2000, seed=0)
    Training(rows.select(np.arange(len(rows)) < 2000), config, 0).run_epoch(1, "warm-up")


def _rows(num_items: int, seed: int) -> object:
    """Walks over a ring: whoever takes item n takes one of the next five."""
    from recops.retrieval.fit_data import FitRows

    generator = np.random.default_rng(seed)
    steps = generator.integers(1, 6, (NUM_USERS, ITEMS_PER_USER)).cumsum(axis=1)
    items = (generator.integers(0, num_items, (NUM_USERS, 1)) + steps) % num_items + 1
    users = np.repeat(np.arange(NUM_USERS), ITEMS_PER_USER)
    return FitRows(users, items.ravel(), np.tile(np.arange(ITEMS_PER_USER), NUM_USERS), num_items)


def _peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


if __name__ == "__main__":
    main()
