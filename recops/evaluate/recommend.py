"""What the agent recommends to one user at the user's newest moment, with its reasons.

The candidates are closed, as everywhere: the frozen ones of the user's newest test sample, or, for a user without one,
items drawn as the negatives are, at the newest time of the data. Nothing is measured here.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from recops.artifacts import verify
from recops.config.recipe import Recipe
from recops.data.candidates import Moments, draw_candidates, item_odds
from recops.data.random_bits import sample_keys, text_keys
from recops.data.samples import SampleStore
from recops.data.taken import TakenItems
from recops.errors import InputError
from recops.evaluate.agent import AGENT_STAGES, play_policy
from recops.evaluate.browser import Turn, item_category, item_title, turns
from recops.paths import Layout
from recops.records import Episode, Event, Sample, Task, label
from recops.retrieval.evidence import Evidence
from recops.seeds import sub_seed
from recops.stage import StageName

NO_TARGET = 0
"""Nobody knows what the user takes next; no item has this index."""

NEW_SAMPLE_ID = -1
"""A sample that no artefact holds."""


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """One item of a recommendation; `place` counts from 1, `label` is what the agent called the candidate."""

    place: int
    label: str
    item_id: str
    title: str
    category: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A ranked list for one user and how the agent came to it.

    Attributes:
        items: best first; empty when the answer is invalid.
        history: titles of the user's latest items, oldest first, as many as the agent is shown.
        turns: thoughts, calls and tool answers, in order: the reasons.
        num_calls: tool calls made.
        timestamp: the moment, in milliseconds since 1970 (UTC).
        candidates_are_frozen: whether the candidates are those of a test sample; else they were drawn.
        error: why the answer is invalid, or None.
    """

    user_id: str
    policy_stage: str
    items: tuple[RecommendedItem, ...]
    history: tuple[str, ...]
    turns: tuple[Turn, ...]
    num_calls: int
    timestamp: int
    candidates_are_frozen: bool
    error: str | None

    @property
    def invalid(self) -> bool:
        """Whether the agent gave no valid answer."""
        return self.error is not None


def recommend(layout: Layout, recipe: Recipe, user_id: str, policy_stage: StageName) -> Recommendation:
    """Return what the policy of `policy_stage` recommends to a user, greedily: the same every time.

    Raises:
        InputError: the user is unknown or has no history, the stage trains no policy, or an artefact is missing or
            damaged.
    """
    if policy_stage not in AGENT_STAGES:
        step = f"Name one of {', '.join(AGENT_STAGES)}."
        raise InputError("policy", found=policy_stage, expected="a stage that trains a policy", next_step=step)
    splits, sasrec, policy = (
        _verified(layout, stage) for stage in ("validated_splits", "sasrec_embeddings", policy_stage)
    )
    evidence = Evidence.load(splits, sasrec, recipe.agent, recipe.seed)
    sample = newest_moment(evidence.store, user_id, recipe)
    task = Task(sample, sample.candidates, "rank")
    constrain = recipe.evaluation_reports.constrain_answers
    [episode] = play_policy(
        policy, [task], evidence, recipe.agent, seed=recipe.seed, batch_size=1, constrain_answers=constrain
    )
    return _recommendation(episode, evidence.store, user_id, policy_stage, recipe)


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
    return _new_sample(store, user, user_id, recipe)


def _user_index(store: SampleStore, user_id: str) -> int:
    ids = store.users["user_id"]
    found = (ids == user_id).arg_true()
    if len(found):
        return int(found[0])
    examples = ", ".join(repr(str(one)) for one in ids.head(3))
    step = f"Take one of the {store.num_users} users, such as {examples}."
    raise InputError("user", found=repr(user_id), expected="a user of the recipe's data", next_step=step)


def _new_sample(store: SampleStore, user: int, user_id: str, recipe: Recipe) -> Sample:
    """The user now: everything taken so far is history, and candidates are any other items."""
    rows = store.user_rows(user)
    history = store.item[rows]
    if not len(history):
        step = "Take a user with at least one accepted interaction."
        raise InputError("user", found=f"{user_id!r} without history", expected="a history", next_step=step)
    now = int(store.timestamp.max()) + 1
    candidates = _drawn_candidates(store, user, user_id, recipe, now)
    return Sample(
        sample_id=NEW_SAMPLE_ID,
        user=user,
        target=NO_TARGET,
        timestamp=now,
        slice="test",
        candidates=candidates,
        history=_events(store, rows),
        target_is_warm=False,
    )


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


def _recommendation(
    episode: Episode, store: SampleStore, user_id: str, policy_stage: str, recipe: Recipe
) -> Recommendation:
    sample, error = episode.task.sample, episode.answer.error
    shown = sample.history[-recipe.agent.history_length :]
    return Recommendation(
        user_id=user_id,
        policy_stage=policy_stage,
        items=_items(episode.answer.ranking, sample.candidates, store) if error is None else (),
        history=tuple(item_title(store, event.item) for event in shown),
        turns=turns(episode.messages),
        num_calls=len(episode.calls),
        timestamp=sample.timestamp,
        candidates_are_frozen=sample.sample_id != NEW_SAMPLE_ID,
        error=None if error is None else error.value,
    )


def _items(ranking: Sequence[int], candidates: Sequence[int], store: SampleStore) -> tuple[RecommendedItem, ...]:
    return tuple(
        RecommendedItem(
            place=place,
            label=label(candidates.index(item)),
            item_id=str(store.items["item_id"][item - 1]),
            title=item_title(store, item),
            category=item_category(store, item),
        )
        for place, item in enumerate(ranking, start=1)
    )


def _verified(layout: Layout, stage: StageName) -> Path:
    verify(layout.artefact(stage))
    return layout.artefact(stage)
