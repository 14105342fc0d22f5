"""Time and memory of drawing frozen candidate sets, on random interactions of any number.

python -m benchmarks.candidate_draw --interactions 10_000_000 --items 300_000 --negatives uniform
"""

import argparse
import resource
import time
from pathlib import Path

import numpy as np
import polars as pl

from benchmarks import machine
from recops.config.validated_splits import CandidatesConfig
from recops.data.samples import SLICE_TYPE
from recops.data.sampling import build_samples, taken_items, with_candidates

INTERACTIONS_PER_USER = 8
SHARES = {"tool_fit": 0.7, "policy_train": 0.1, "valid": 0.1, "test": 0.1}


def random_interactions(count: int, num_items: int, seed: int) -> pl.DataFrame:
    """Return interactions sorted by user and time; few items are taken often (Pareto), slices are cut in time."""
    generator = np.random.default_rng(seed)
    users = generator.integers(0, count // INTERACTIONS_PER_USER, count).astype(np.int32)
    ranks = np.minimum((generator.pareto(1.0, count) * num_items / 50).astype(np.int64), num_items - 1)
    items = (generator.permutation(num_items)[ranks] + 1).astype(np.int32)
    times = generator.integers(0, 2**40, count)
    edges = np.cumsum(list(SHARES.values()))[:-1] * 2**40
    slices = pl.Series(list(SHARES), dtype=SLICE_TYPE).gather(np.searchsorted(edges, times, side="right"))
    rows = pl.DataFrame({"user": users, "item": items, "timestamp": times, "slice": slices})
    return rows.sort("user", "timestamp")


def main() -> None:
    """Draw once and print samples per second, and by how much the peak of memory grew."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--interactions", type=int, required=True)
    parser.add_argument("--items", type=int, required=True)
    parser.add_argument("--candidates", type=int, default=20)
    parser.add_argument("--negatives", choices=("uniform", "popularity"), default="uniform")
    arguments = parser.parse_args()
    print(machine.described())
    rows = random_interactions(arguments.interactions, arguments.items, seed=0)
    users = pl.Series([f"AE{number:026d}" for number in range(arguments.interactions // INTERACTIONS_PER_USER)])
    items = pl.Series([f"B{number:09d}" for number in range(arguments.items)])
    config = CandidatesConfig(num_candidates=arguments.candidates, negatives=arguments.negatives, further_negatives=())
    before, started = _resident_gigabytes(), time.perf_counter()
    taken = taken_items(rows, len(items))
    samples, _ = build_samples(rows, taken, "tool_fit")
    with_candidates(samples, rows, taken, user_ids=users, item_ids=items, config=config, seed=7)
    seconds = time.perf_counter() - started
    print(f"{len(samples):,} samples in {seconds:.1f} s: {len(samples) / seconds * 60 / 1e6:.1f} M a minute")
    print(f"memory: {before:.2f} GB before, peak of the whole process {_peak_gigabytes():.2f} GB")


def _resident_gigabytes() -> float:
    pages = Path("/proc/self/statm").read_text(encoding="ascii").split()[1]
    return int(pages) * resource.getpagesize() / 1e9


def _peak_gigabytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e6


if __name__ == "__main__":
    main()
