"""Questions whose answer is known: what a user took next, what was meant by a request, what goes with an item."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recops.evaluate.agent import chosen_samples
from recops.evaluate.moments import moment_of_item, moment_of_user
from recops.evaluate.recommend import Scene
from recops.evaluate.retrieve import (
    NUM_RETRIEVED,
    complement_lists,
    findable,
    ordered,
    retrieve,
    retrieve_complements,
    user_lists,
)
from recops.progress import progress
from recops.records import Sample, SliceName
from recops.retrieval.evidence import Evidence, Scores
from recops.seeds import sub_seed


@dataclass(frozen=True)
class Question:
    """A moment, the items that would be right, the retrieved ones, and the first items of each list behind them."""

    sample: Sample
    wanted: tuple[int, ...]
    retrieved: list[int]
    tops: dict[str, list[int]]
    request: str


def next_items(scene: Scene, slice_name: SliceName, max_samples: int) -> tuple[list[Question], int]:
    """Return what users took next after the samples of a slice, and 0: no sample is left out."""
    evidence, agent = scene.evidence, scene.recipe.agent
    sample_ids = chosen_samples(evidence.store, slice_name, max_samples, scene.recipe.seed)
    evidence.prepare(sample_ids.tolist())
    samples = [evidence.store.sample(int(sample_id)) for sample_id in sample_ids]

    def question(sample: Sample) -> Question:
        lists = _tops(evidence, sample, lambda items_I: user_lists(evidence, sample, agent, items_I))
        return Question(sample, (sample.target,), retrieve(evidence, sample, agent), lists, "")

    return _asked("Retrieving for samples", samples, question), 0


def requests(scene: Scene, table: pl.DataFrame) -> tuple[list[Question], int]:
    """Return requests at their moments, and how many have a user without history or an item that is gone."""
    store, evidence = scene.evidence.store, scene.evidence
    users, items = _numbers(store.users["user_id"], 0), _numbers(store.items["item_id"], 1)

    def question(row: tuple[str, int, str, str]) -> Question | None:
        user_id, timestamp, request, item_id = row
        if user_id not in users or item_id not in items:
            return None
        sample = moment_of_user(store, users[user_id], timestamp)
        if not sample.history:
            return None
        lists = _tops(evidence, sample, lambda items_I: {"words": evidence.catalogue.match(request, items_I.tolist())})
        retrieved = retrieve(evidence, sample, scene.recipe.agent, request)
        return Question(sample, (items[item_id],), retrieved, lists, request)

    rows = table.select("user_id", "timestamp", "request", "item_id").rows()
    found = _asked("Retrieving for requests", rows, question)
    return [one for one in found if one is not None], sum(one is None for one in found)


def complements(scene: Scene, table: pl.DataFrame, max_asked: int) -> tuple[list[Question], int]:
    """Return items to complete for nobody in particular, now, and how many have no complement in the catalogue."""
    store, evidence = scene.evidence.store, scene.evidence
    items = _numbers(store.items["item_id"], 1)
    there = table.filter(pl.col("item_id").is_in(list(items)) & pl.col("complement_id").is_in(list(items)))
    wanted = there.group_by("item_id", maintain_order=True).agg("complement_id").rows()
    left_out = table["item_id"].n_unique() - len(wanted)
    generator = np.random.default_rng(sub_seed(scene.recipe.seed, "complements"))
    chosen = sorted(generator.permutation(len(wanted))[:max_asked].tolist())

    def question(row: tuple[str, list[str]]) -> Question:
        item = items[row[0]]
        sample = moment_of_item(store, item, None)
        lists = _tops(evidence, sample, lambda items_I: complement_lists(evidence, item, sample, items_I))
        retrieved = retrieve_complements(evidence, item, sample)
        return Question(sample, tuple(items[one] for one in row[1]), retrieved, lists, "")

    return _asked("Retrieving for complements", [wanted[place] for place in chosen], question), left_out


def _tops(evidence: Evidence, sample: Sample, lists: Callable[[Any], dict[str, Scores]]) -> dict[str, list[int]]:
    """Return the first items of each list alone."""
    items_I = findable(evidence, sample)
    return {
        name: items_I[ordered(evidence, sample, items_I, scores_I, f"retrieve/{name}")[:NUM_RETRIEVED]].tolist()
        for name, scores_I in lists(items_I).items()
    }


def _asked(description: str, rows: Sequence[Any], question: Callable[[Any], Any]) -> list[Any]:
    found = []
    with progress(description, len(rows)) as meter:
        for row in rows:
            found.append(question(row))
            meter.advance()
    return found


def _numbers(names: pl.Series, first: int) -> dict[str, int]:
    return {str(name): number for number, name in enumerate(names, start=first)}
