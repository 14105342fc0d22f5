"""Samples from sorted interactions, and their frozen candidate sets."""

from concurrent.futures import ThreadPoolExecutor

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.config.validated_splits import CandidatesConfig, FittedOn
from recops.data.candidates import ItemOdds, Items, Moments, draw_candidates, item_odds
from recops.data.random_bits import Bits, sample_keys, text_keys
from recops.data.samples import SAMPLED_SLICES
from recops.data.slices import FITTED_SLICES
from recops.data.taken import TakenItems
from recops.progress import progress
from recops.seeds import sub_seed

_CHUNK = 8_192
"""Samples drawn at once: their bits stay in a core's cache. The draws do not depend on it."""
_THREADS = 2


def taken_items(interactions: pl.DataFrame, num_items: int) -> TakenItems:
    """Return what each user had taken before each row of `interactions`, sorted by user, time, order in the file."""
    return TakenItems(interactions["user"].to_numpy(), interactions["item"].to_numpy(), num_items)


def build_samples(
    interactions: pl.DataFrame, taken: TakenItems, fitted_on: FittedOn
) -> tuple[pl.DataFrame, dict[str, int]]:
    """Return one sample per interaction outside `tool_fit` that has a history, and how many were dropped and why.

    Args:
        interactions: sorted by user, time, order in the file, with `slice`.
        taken: of these interactions.
        fitted_on: a target that occurs there is warm.

    Returns:
        The samples without candidates, and counts per reason. A target that stands in its own history is dropped: it
        would be the one candidate that no negative can match.
    """
    users = interactions["user"].to_numpy()
    starts = np.searchsorted(users, users).astype(np.int64)  # first row of each row's user
    sampled = interactions["slice"].is_in(SAMPLED_SLICES).to_numpy()
    has_history = sampled & (starts < np.arange(len(users)))
    ends = np.flatnonzero(has_history & taken.is_first).astype(np.int64)
    warm = interactions.filter(pl.col("slice").is_in(FITTED_SLICES[fitted_on]))["item"].unique()
    dropped = {
        "samples_without_history": int(sampled.sum() - has_history.sum()),
        "samples_with_target_in_history": int(has_history.sum()) - len(ends),
    }
    samples = interactions[ends].select(
        pl.int_range(pl.len(), dtype=pl.Int32).alias("sample_id"),
        "user",
        pl.col("item").alias("target"),
        "timestamp",
        "slice",
        pl.Series("history_start", starts[ends]),
        pl.Series("history_end", ends),
        pl.col("item").is_in(warm.implode()).alias("target_is_warm"),
    )
    return samples, dropped


def with_candidates(
    samples: pl.DataFrame,
    interactions: pl.DataFrame,
    taken: TakenItems,
    *,
    user_ids: pl.Series,
    item_ids: pl.Series,
    config: CandidatesConfig,
    seed: int,
) -> pl.DataFrame:
    """Add each sample's frozen candidate sets, a column for each kind.

    Args:
        samples: as `build_samples` returns them.
        interactions: the rows that the samples' histories point to.
        taken: of these interactions.
        user_ids, item_ids: id of user i, and of item i + 1.
        config: how many candidates, and with which chances; the keys of its `columns` are added.
        seed: the recipe's seed.

    Raises:
        InputError: there are too few items.
    """
    users, targets, times = (samples[name].to_numpy() for name in ("user", "target", "timestamp"))
    starts, ends = (samples[name].to_numpy() for name in ("history_start", "history_end"))
    ids = {"user_keys_S": _keys(user_ids, users), "item_keys_S": _keys(item_ids, targets - 1)}
    dtype, drawn = pl.Array(pl.Int32, config.num_candidates), []
    for name, kind in config.columns.items():
        keys = sample_keys(sub_seed(seed, name), **ids, times_S=times)
        moments = Moments(keys, users, targets, starts, ends)
        odds = item_odds(kind, interactions["item"].to_numpy(), len(item_ids))
        drawn.append(pl.Series(name, _drawn(moments, config.num_candidates, odds=odds, taken=taken), dtype=dtype))
    return samples.with_columns(drawn)


def _drawn(moments: Moments, count: int, *, odds: ItemOdds, taken: TakenItems) -> Items:
    """As `draw_candidates`, in chunks, several at once."""
    drawn_SC = np.empty((len(moments), count), dtype=np.int32)

    def draw(start: int) -> int:
        chunk = moments.select(slice(start, start + _CHUNK))
        drawn_SC[start : start + _CHUNK] = draw_candidates(chunk, count, odds=odds, taken=taken)
        return len(chunk)

    with progress("drawing candidates", len(moments)) as meter, ThreadPoolExecutor(_THREADS) as pool:
        for number in pool.map(draw, range(0, len(moments), _CHUNK)):
            meter.advance(number)
    return drawn_SC


def _keys(ids: pl.Series, codes_S: NDArray[np.int32]) -> Bits:
    """Return the key of each sample's id: shape (S,)."""
    used = np.flatnonzero(np.bincount(codes_S, minlength=len(ids)))
    keys = np.zeros(len(ids), dtype=np.uint64)
    keys[used] = text_keys(ids.gather(used).to_list())
    return keys[codes_S]
