"""Which tasks experts play: samples of `policy_train` in seeded order, a share of them as questions about a pair."""

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recops.data.samples import SampleStore
from recops.records import Direction, Sample, Task


def draw_tasks(
    store: SampleStore, sample_ids: NDArray[np.int32], *, count: int, pair_fraction: float, seed: int
) -> list[Task]:
    """Return `count` tasks, each sample once before any comes again, `pair_fraction` of them pairs, evenly spread.

    Half of the pairs ask for the MORE likely item, and in half of either kind the right answer is A.
    """
    generator = np.random.default_rng(seed)
    rounds = -(-count // max(1, len(sample_ids)))
    order = np.concatenate([generator.permutation(sample_ids) for _ in range(rounds)])[:count].tolist() if count else []
    tasks: list[Task] = []
    num_pairs = 0
    for number, sample_id in enumerate(order):
        sample = store.sample(int(sample_id))
        if int((number + 1) * pair_fraction) > int(number * pair_fraction):
            direction: Direction = "more" if num_pairs % 2 == 0 else "less"
            tasks.append(pair_task(sample, generator, direction=direction, right_place=num_pairs // 2 % 2))
            num_pairs += 1
        else:
            tasks.append(Task(sample, sample.candidates, "rank"))
    return tasks


def pair_task(sample: Sample, generator: np.random.Generator, *, direction: Direction, right_place: int) -> Task:
    """Return a question about the target and a random other candidate, the right answer at place 0 or 1."""
    others: Sequence[int] = [item for item in sample.candidates if item != sample.target]
    other = others[int(generator.integers(len(others)))]
    target_place = right_place if direction == "more" else 1 - right_place
    return Task(sample, (sample.target, other) if target_place == 0 else (other, sample.target), direction)
