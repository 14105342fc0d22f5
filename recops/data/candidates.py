"""Frozen candidate sets: the target and negatives from outside the user's history, in shuffled order.

S samples, C candidates, I items (indices 1 to I), H items of a history. A sample's draw depends on the seed and on its
own user, target and time, never on its place in a file or on other samples.
"""

import hashlib

import numpy as np
from numpy.typing import NDArray

from recops.config.validated_splits import CandidatesConfig
from recops.errors import InputError
from recops.seeds import sub_seed

Items = NDArray[np.int32]


def draw_negatives(
    count: int,
    *,
    num_items: int,
    excluded: NDArray[np.int32],
    weights: NDArray[np.float64] | None,
    generator: np.random.Generator,
) -> Items:
    """Return `count` different items from 1 to `num_items`, none of them in `excluded`, in random order: int32.

    Args:
        count: how many.
        num_items: I.
        excluded: items of the history and the target; may repeat.
        weights: (I,), chance of item i + 1 in proportion; None for even chances.
        generator: source of the draw.

    Raises:
        InputError: fewer than `count` items are left.
    """
    barred = np.unique(excluded)
    if num_items - len(barred) < count:
        raise InputError(
            "validated_splits.candidates.num_candidates",
            found=f"{num_items} items, of which {len(barred)} are in one user's history or its target",
            expected=f"at least {count} others to draw negatives from",
            next_step="Lower num_candidates, or lower min_interactions_per_item so that more items stay.",
        )
    shares = None if weights is None else weights / weights.sum()
    # So many that enough are left when every barred item is among them: what is left is an even draw from the others.
    drawn = generator.choice(num_items, size=count + len(barred), replace=False, p=shares) + 1
    kept: Items = drawn[~np.isin(drawn, barred)][:count].astype(np.int32)
    return kept


def candidate_set(
    target: int,
    history: NDArray[np.int32],
    *,
    config: CandidatesConfig,
    item_counts: NDArray[np.int64],
    generator: np.random.Generator,
) -> Items:
    """Return the target and its negatives in shuffled order: int32 (C,).

    Args:
        target: the item that was taken next.
        history: (H,) items of the user before it.
        config: how many candidates, and with which chances.
        item_counts: (I,) interactions of item i + 1, the chances of `negatives: popularity`.
        generator: source of the draw.

    Raises:
        InputError: there are too few items.
    """
    negatives = draw_negatives(
        config.num_candidates - 1,
        num_items=len(item_counts),
        excluded=np.append(history, np.int32(target)),
        weights=item_counts.astype(np.float64) if config.negatives == "popularity" else None,
        generator=generator,
    )
    return generator.permutation(np.append(negatives, np.int32(target)).astype(np.int32))


def sample_generator(seed: int, *, user_id: str, item_id: str, timestamp: int) -> np.random.Generator:
    """Return the source of one sample's draw, named by what the sample is."""
    return np.random.default_rng(sub_seed(seed, "candidates", user_id, item_id, timestamp))


def candidates_sha256(
    candidates_SC: Items, *, users_S: NDArray[np.int32], times_S: NDArray[np.int64], item_ids: list[str]
) -> str:
    """Return the hash of every sample's user, time and candidates, in hexadecimal: equal only for equal test sets."""
    digest = hashlib.sha256("\n".join(item_ids).encode())
    for array, dtype in ((users_S, "<i4"), (times_S, "<i8"), (candidates_SC, "<i4")):
        digest.update(np.ascontiguousarray(array, dtype=dtype).tobytes())
    return digest.hexdigest()
