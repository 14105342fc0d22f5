"""Samples for use: a user at the newest moment, or after one more item, with nothing known of what comes next."""

import dataclasses

import numpy as np

from recops.config.recipe import Recipe
from recops.data.candidates import Moments, draw_candidates, item_odds
from recops.data.random_bits import sample_keys, text_keys
from recops.data.samples import SampleStore
from recops.data.taken import TakenItems
from recops.errors import InputError
from recops.records import Event, Sample
from recops.seeds import sub_seed

NO_TARGET = 0
"""Nobody knows what the user takes next; no item has this index."""

NEW_SAMPLE_ID = -1
"""A sample that no artefact holds."""

NOBODY = -1
"""The user of a moment that is nobody's: an item alone."""


def newest_moment(store: SampleStore, user_id: str, recipe: Recipe) -> Sample:
    """Return the user's newest test sample, or a new one at the newest time of the data, which has no target.

    Raises:
        InputError: the user is unknown, or has no history.
    """
    user = _user_index(store, user_id)
    of_test = [store.sample(int(sample_id)) for sample_id in store.sample_ids("test")]
    own = [sample for sample in of_test if sample.user == user]
    if own:
        return max(own, key=lambda sample: (sample.timestamp, sample.sample_id))
    sample = present_moment(store, user_id)
    candidates = _drawn_candidates(store, user, user_id, recipe, sample.timestamp)
    return dataclasses.replace(sample, candidates=candidates)


def _user_index(store: SampleStore, user_id: str) -> int:
    ids = store.users["user_id"]
    found = (ids == user_id).arg_true()
    if len(found):
        return int(found[0])
    examples = ", ".join(repr(str(one)) for one in ids.head(3))
    step = f"Take one of the {store.num_users} users, such as {examples}."
    raise InputError("user", found=repr(user_id), expected="a user of the recipe's data", next_step=step)


def present_moment(store: SampleStore, user_id: str) -> Sample:
    """Return the user now: everything taken so far is history; there are no candidates and no target.

    Raises:
        InputError: the user is unknown, or has no history.
    """
    sample = moment_of_user(store, _user_index(store, user_id), int(store.timestamp.max()) + 1)
    if not sample.history:
        step = "Take a user with at least one accepted interaction."
        raise InputError("user", found=f"{user_id!r} without history", expected="a history", next_step=step)
    return sample


def _drawn_candidates(store: SampleStore, user: int, user_id: str, recipe: Recipe, now: int) -> tuple[int, ...]:
    """Draw as `validated_splits` does, with no target, after all that the user has taken."""
    config, rows = recipe.validated_splits.candidates, store.user_rows(user)
    seed, end = sub_seed(recipe.seed, "recommendation"), np.array([rows.stop - rows.start])
    keys = sample_keys(
        seed, user_keys_S=text_keys([user_id]), item_keys_S=text_keys([""]), times_S=np.array([now], dtype=np.int64)
    )
    nobody = np.zeros(1, dtype=np.int32)  # no target; and the one user of `taken` is number 0
    taken = TakenItems(np.zeros(end[0], dtype=np.int32), store.item[rows], store.num_items)
    moments = Moments(keys, users=nobody, targets=nobody, starts=np.array([0]), ends=end)
    odds = item_odds(config.negatives, store.item, store.num_items)
    [drawn] = draw_candidates(moments, config.num_candidates, odds=odds, taken=taken).tolist()
    return tuple(drawn)


def _events(store: SampleStore, rows: slice) -> tuple[Event, ...]:
    columns = zip(store.item[rows].tolist(), store.timestamp[rows].tolist(), store.rating[rows].tolist(), strict=True)
    return tuple(Event(item, time, None if np.isnan(rating) else rating) for item, time, rating in columns)


def moment_of_item(store: SampleStore, item: int, sample: Sample | None) -> Sample:
    """Return the moment in which an item has just been taken: by the user of `sample`, or by nobody in particular.

    What is taken next after it is what goes with it.
    """
    now = int(store.timestamp.max()) + 1
    event = Event(item, now - 1, None)
    if sample is not None:
        return dataclasses.replace(
            sample, sample_id=NEW_SAMPLE_ID, target=NO_TARGET, timestamp=now, history=(*sample.history, event)
        )
    return Sample(NEW_SAMPLE_ID, NOBODY, NO_TARGET, now, "test", (), (event,), target_is_warm=False)


def moment_of_user(store: SampleStore, user: int, timestamp: int) -> Sample:
    """Return a user at any moment, with what was taken strictly before it as history, and no candidates."""
    rows = store.user_rows(user)
    history = tuple(event for event in _events(store, rows) if event.timestamp < timestamp)
    return Sample(NEW_SAMPLE_ID, user, NO_TARGET, timestamp, "test", (), history, target_is_warm=False)


def item_of(store: SampleStore, item_id: str) -> int:
    """Return an item's index.

    Raises:
        InputError: the catalogue does not have it.
    """
    found = (store.items["item_id"] == item_id).arg_true()
    if len(found):
        return int(found[0]) + 1
    examples = ", ".join(repr(str(one)) for one in store.items["item_id"].head(3))
    step = f"Take one of the {store.num_items} items, such as {examples}."
    expected = "an item of the catalogue (it may be gone from it, or have too few interactions)"
    raise InputError("item", found=repr(item_id), expected=expected, next_step=step)
