"""Frozen candidate sets: the target and negatives from outside the user's history, in shuffled order.

A sample's negatives are the first ones that fit in its own endless sequence of random items, which depends on the seed
and on the sample's user, target and time, never on its place in a file, on other samples, or on how many are drawn at
once. Shape suffixes: S samples, C candidates, N negatives, W draws of one round, I items (indices 1 to I).
"""

import hashlib
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recops.config.validated_splits import Negatives
from recops.data.random_bits import Bits, bits, fractions, mix64
from recops.data.taken import TakenItems
from recops.errors import InputError

Items = NDArray[np.int32]

_MAX_ROUNDS = 32
_RACE, _SHUFFLE, _POOL = (np.uint64(mark) for mark in (0x5851F42D4C957F2D, 0x14057B7EF767814F, 0xD1342543DE82EF95))
"""What sets the bits of these purposes apart from those of the sequence."""


class ItemOdds:
    """The chances of the items: all alike, or in proportion to `weights_I`, positive whole numbers.

    Memory is four bytes per unit of their sum: as many as there are interactions, where they count those.
    """

    def __init__(self, num_items: int, weights_I: NDArray[np.int64] | None) -> None:
        self.num_items = num_items
        self.weights_I = np.ones(num_items, dtype=np.int64) if weights_I is None else weights_I
        # Every item as often as it weighs: an even place in it is an item with its chance, found with one look.
        self._tickets = None if weights_I is None else np.repeat(np.arange(num_items, dtype=np.int32), weights_I)

    def items(self, random: Bits) -> Items:
        """Return one item per random number."""
        if self._tickets is None:
            places = (fractions(random) * self.num_items).astype(np.int32)
        else:
            places = self._tickets[(fractions(random) * len(self._tickets)).astype(np.int64)]
        items: Items = places + np.int32(1)
        return items


def item_odds(kind: Negatives, items_N: Items, num_items: int) -> ItemOdds:
    """Return the chances of a kind of negatives; `items_N` are the items of all interactions."""
    counted = kind == "popularity"
    return ItemOdds(num_items, np.bincount(items_N, minlength=num_items + 1)[1:] if counted else None)


@dataclass(frozen=True)
class Moments:
    """What candidates are drawn for: users (S,) with a key each, before row `ends`; `targets` may be 0, for none."""

    keys: Bits
    users: NDArray[np.int32]
    targets: Items
    starts: NDArray[np.int64]
    ends: NDArray[np.int64]

    def __len__(self) -> int:
        return len(self.keys)

    def select(self, rows: NDArray[np.int64] | slice) -> "Moments":
        """Return some of the moments."""
        return Moments(self.keys[rows], self.users[rows], self.targets[rows], self.starts[rows], self.ends[rows])


def draw_candidates(moments: Moments, count: int, *, odds: ItemOdds, taken: TakenItems) -> Items:
    """Return the target, where there is one, and negatives, in shuffled order: int32 (S, C).

    Negatives are different items, none of them the target or taken by the user before. With weights, each is drawn in
    proportion among those that are left.

    Args:
        moments: who is asked and when; either all of them have a target or none has.
        count: C.
        odds: chances of the items.
        taken: what the users had taken.

    Raises:
        InputError: for one of them there are not enough items.
    """
    has_target = bool(len(moments)) and moments.targets[0] > 0
    _check_enough(moments, count, odds=odds, taken=taken)
    negatives_SN = _draw_negatives(moments, count - has_target, odds=odds, taken=taken)
    drawn_SC = np.column_stack([moments.targets, negatives_SN]) if has_target else negatives_SN
    return _shuffled(moments.keys, drawn_SC)


def draw_from_pools(moments: Moments, pools_SP: Items, count: int) -> Items:
    """Return the target and negatives from each sample's own pool, all of its items alike, in shuffled order: (S, C).

    Args:
        moments: who is asked and when, each with a target.
        pools_SP: items that may be negatives, at least C - 1 in each row; 0 stands for none.
        count: C.
    """
    random_SP = bits(mix64(moments.keys ^ _POOL)[:, None], pools_SP.astype(np.int64)) >> np.uint64(1)
    random_SP[pools_SP == 0] = np.iinfo(np.uint64).max
    chosen_SN = np.argsort(random_SP, axis=1, kind="stable")[:, : count - 1]
    negatives_SN = np.take_along_axis(pools_SP, chosen_SN, axis=1)
    assert (negatives_SN > 0).all(), "a pool holds too few items"
    return _shuffled(moments.keys, np.column_stack([moments.targets, negatives_SN]).astype(np.int32))


def _check_enough(moments: Moments, count: int, *, odds: ItemOdds, taken: TakenItems) -> None:
    barred_S = taken.num_different(moments.starts, moments.ends)
    in_history_S = taken.holds(moments.users, moments.targets, moments.ends)
    left_S = odds.num_items - barred_S + in_history_S  # the target itself is among the candidates
    short = np.flatnonzero(left_S < count)
    if len(short):
        found = f"{odds.num_items} items, of which {barred_S[short[0]]} are in one user's history"
        raise InputError(
            "validated_splits.candidates.num_candidates",
            found=found,
            expected=f"at least {count} outside of it to make candidates of",
            next_step="Lower num_candidates, or lower min_interactions_per_item so that more items stay.",
        )


def _draw_negatives(moments: Moments, count: int, *, odds: ItemOdds, taken: TakenItems) -> Items:
    """Draw in rounds: each takes the next draws of every sequence that has not yet given enough."""
    kept_SN = np.zeros((len(moments), count), dtype=np.int32)
    num_kept_S = np.zeros(len(moments), dtype=np.int64)
    width = count + 2  # collisions are rare: most samples are done after the first round
    waiting = np.arange(len(moments))
    for number in range(_MAX_ROUNDS):
        waiting = waiting[num_kept_S[waiting] < count]
        if not len(waiting):
            break
        asked = moments.select(waiting)
        drawn_SW = odds.items(bits(asked.keys[:, None], np.arange(number * width, (number + 1) * width)))
        good_SW = _allowed(drawn_SW, asked, taken) & ~_repeated(kept_SN[waiting] if number else None, drawn_SW)
        _keep(drawn_SW, good_SW, waiting, kept_SN=kept_SN, num_kept_S=num_kept_S)
    for row in waiting[num_kept_S[waiting] < count].tolist():
        rest = _race(moments.select(slice(row, row + 1)), kept_SN[row, : num_kept_S[row]], odds=odds, taken=taken)
        kept_SN[row, num_kept_S[row] :] = rest[: count - num_kept_S[row]]
    return kept_SN


def _keep(
    drawn_SW: Items,
    good_SW: NDArray[np.bool_],
    waiting: NDArray[np.int64],
    *,
    kept_SN: Items,
    num_kept_S: NDArray[np.int64],
) -> None:
    """Append the good draws of the waiting rows to those that they have, in place, until each has enough."""
    count = kept_SN.shape[1]
    done = good_SW[:, :count].all(axis=1) & (num_kept_S[waiting] == 0)  # nearly all rows: no counting of places
    kept_SN[waiting[done]] = drawn_SW[done, :count]
    num_kept_S[waiting[done]] = count
    drawn_SW, good_SW, waiting = drawn_SW[~done], good_SW[~done], waiting[~done]
    places_SW = num_kept_S[waiting, None] + np.cumsum(good_SW, axis=1) - 1
    rows, columns = np.nonzero(good_SW & (places_SW < count))
    kept_SN[waiting[rows], places_SW[rows, columns]] = drawn_SW[rows, columns]
    num_kept_S[waiting] = np.minimum(num_kept_S[waiting] + good_SW.sum(axis=1), count)


def _allowed(items_SW: Items, asked: Moments, taken: TakenItems) -> NDArray[np.bool_]:
    in_history_SW = taken.holds(asked.users[:, None], items_SW, asked.ends[:, None])
    allowed: NDArray[np.bool_] = ~in_history_SW & (items_SW != asked.targets[:, None])
    return allowed


def _repeated(kept_SN: Items | None, drawn_SW: Items) -> NDArray[np.bool_]:
    """Return where a draw is one that stands earlier in its row, or among those already kept: shape (S, W)."""
    items = drawn_SW if kept_SN is None else np.concatenate([kept_SN, drawn_SW], axis=1)
    num_kept, width = items.shape[1] - drawn_SW.shape[1], items.shape[1]
    place_bits = width.bit_length()
    # Item and place in one number: equal items come together when a row is sorted, the earliest first.
    ordered = np.sort((items.astype(np.int64) << place_bits) | np.arange(width), axis=1)
    rows, columns = np.nonzero((ordered[:, 1:] ^ ordered[:, :-1]) < (1 << place_bits))
    repeated = np.zeros(items.shape, dtype=np.bool_)
    repeated[rows, ordered[rows, columns + 1] & ((1 << place_bits) - 1)] = True
    return repeated[:, num_kept:]


def _race(one: Moments, kept: Items, *, odds: ItemOdds, taken: TakenItems) -> Items:
    """Return all items that are left for one sample, in the order in which a longer sequence would have named them.

    Where nearly nothing is left to draw, waiting for it takes for ever. Exponential waiting times, weighted, have the
    same distribution (Efraimidis and Spirakis, Weighted random sampling with a reservoir, 2006).
    """
    items_I = np.arange(1, odds.num_items + 1, dtype=np.int32)
    left_I = _allowed(items_I[None, :], one, taken)[0] & ~np.isin(items_I, kept)
    random_I = fractions(bits(mix64(one.keys ^ _RACE), items_I.astype(np.int64)))
    waits = -np.log1p(-random_I[left_I]) / odds.weights_I[left_I]
    rest: Items = items_I[left_I][np.argsort(waits, kind="stable")]
    return rest


def _shuffled(keys_S: Bits, items_SC: Items) -> Items:
    """Order each row by a hash of sample and item, so that no place tells anything."""
    # Different items have different bits, for each step to them can be undone: no ties, and any sort will do.
    order_SC = np.argsort(bits(mix64(keys_S ^ _SHUFFLE)[:, None], items_SC.astype(np.int64)), axis=1)
    shuffled_SC: Items = np.take_along_axis(items_SC, order_SC, axis=1)
    return shuffled_SC


def candidates_sha256(
    candidates_SC: Items, *, users_S: NDArray[np.int32], times_S: NDArray[np.int64], item_ids: Sequence[str]
) -> str:
    """Return the hash of every sample's user, time and candidates, in hexadecimal: equal only for equal test sets."""
    digest = hashlib.sha256("\n".join(item_ids).encode())
    for array, dtype in ((users_S, "<i4"), (times_S, "<i8"), (candidates_SC, "<i4")):
        digest.update(np.ascontiguousarray(array, dtype=dtype).data)
    return digest.hexdigest()
