"""How well the agent serves from the whole catalogue: what comes next, what is asked for, what goes with an item.

Nothing is inserted: where the wanted item is not among the retrieved, it is missed. A *hit* is a wanted item among the
first ten. Each number stands beside that of the retrieved order alone, so that what the agent adds can be seen.
"""

from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from recops.artifacts import read_json, verify, write_json
from recops.config.recipe import Recipe
from recops.evaluate.agent import chosen_samples
from recops.evaluate.moments import moment_of_item, moment_of_user
from recops.evaluate.recommend import Scene, open_scene
from recops.evaluate.retrieve import (
    NUM_RETRIEVED,
    complement_lists,
    findable,
    ordered,
    retrieve,
    retrieve_complements,
    user_lists,
)
from recops.paths import Layout
from recops.progress import progress
from recops.records import Sample, SliceName
from recops.retrieval.evidence import Evidence, Scores
from recops.seeds import sub_seed
from recops.stage import StageName

HITS_AT = 10
REQUESTS, COMPLEMENTS = "requests.parquet", "complements.parquet"


@dataclass(frozen=True)
class UseScore:
    """One kind of use, measured on N questions.

    Attributes:
        num_asked: N.
        num_left_out: questions whose user or item is not in the validated data.
        recall_at_50: share of wanted items among the retrieved; `recall_by_list` that of each list alone.
        hit_rate_retrieved: share of wanted items among the first ten of the retrieved order.
        hit_rate_agent: the same after the agent has ranked.
        invalid_windows: share of windows without a valid answer.
    """

    num_asked: int
    num_left_out: int
    recall_at_50: float
    recall_by_list: dict[str, float]
    hit_rate_retrieved: float
    hit_rate_agent: float
    invalid_windows: float


@dataclass(frozen=True)
class UseScores:
    """All that was measured, by kind of use; requests and complements only where the data has planted ones."""

    recipe: str
    policy: str
    slice: str
    fingerprint: str
    scores: dict[str, UseScore]


@dataclass(frozen=True)
class _Question:
    """A moment, the items that would be right, the retrieved ones, and the lists behind them as places of items."""

    sample: Sample
    wanted: tuple[int, ...]
    retrieved: list[int]
    tops: dict[str, list[int]]
    request: str


def measure_use(
    layout: Layout, recipe: Recipe, policy_stage: StageName, *, slice_name: SliceName, max_samples: int
) -> UseScores:
    """Play every kind of use that the data has an answer to.

    Args:
        layout: where the artefacts lie.
        recipe: its settings.
        policy_stage: whose policy plays.
        slice_name: whose samples say what comes next; requests and complements have no slice.
        max_samples: at most so many samples of it, and so many complements, in seeded choice.

    Raises:
        InputError: an artefact is missing or damaged, or the stage trains no policy.
    """
    scene = open_scene(layout, recipe, policy_stage)
    raw = layout.artefact("raw_data")
    verify(raw)
    scores = {"next item": _scored(scene, *_next_items(scene, slice_name, max_samples))}
    if (raw / REQUESTS).is_file():
        scores["requests"] = _scored(scene, *_requests(scene, pl.read_parquet(raw / REQUESTS)))
    if (raw / COMPLEMENTS).is_file():
        scores["complements"] = _scored(scene, *_complements(scene, pl.read_parquet(raw / COMPLEMENTS), max_samples))
    fingerprint = str(read_json(layout.artefact(policy_stage) / "manifest.json").get("fingerprint", ""))
    return UseScores(recipe.name, policy_stage, slice_name, fingerprint, scores)


def write_use_scores(layout: Layout, scores: UseScores) -> Path:
    """Write the scores as JSON where trials lie: they are no artefact of a stage. Return the path."""
    path = layout.root / "runs" / "use" / scores.recipe / f"{scores.policy}_{scores.slice}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    write_json(path, asdict(scores))
    return path


def use_table(scores: UseScores) -> str:
    """Return the scores as a Markdown table."""
    head = ["use", "asked", "recall@50", "HR@10 retrieved", "HR@10 ranked by the agent", "invalid windows"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for name, one in scores.scores.items():
        numbers = (one.recall_at_50, one.hit_rate_retrieved, one.hit_rate_agent)
        cells = [str(one.num_asked), *(f"{value:.3f}" for value in numbers), f"{one.invalid_windows:.1%}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _next_items(scene: Scene, slice_name: SliceName, max_samples: int) -> tuple[list[_Question], int]:
    evidence, agent = scene.evidence, scene.recipe.agent
    sample_ids = chosen_samples(evidence.store, slice_name, max_samples, scene.recipe.seed)
    evidence.prepare(sample_ids.tolist())
    samples = [evidence.store.sample(int(sample_id)) for sample_id in sample_ids]

    def question(sample: Sample) -> _Question:
        lists = _tops(evidence, sample, lambda items_I: user_lists(evidence, sample, agent, items_I))
        return _Question(sample, (sample.target,), retrieve(evidence, sample, agent), lists, "")

    return _asked("Retrieving for samples", samples, question), 0


def _requests(scene: Scene, table: pl.DataFrame) -> tuple[list[_Question], int]:
    """Requests whose user has a history and whose item is in the catalogue, at the moment of the request."""
    store, evidence = scene.evidence.store, scene.evidence
    users, items = _numbers(store.users["user_id"], 0), _numbers(store.items["item_id"], 1)

    def question(row: tuple[str, int, str, str]) -> _Question | None:
        user_id, timestamp, request, item_id = row
        if user_id not in users or item_id not in items:
            return None
        sample = moment_of_user(store, users[user_id], timestamp)
        if not sample.history:
            return None
        lists = _tops(evidence, sample, lambda items_I: {"words": evidence.catalogue.match(request, items_I.tolist())})
        retrieved = retrieve(evidence, sample, scene.recipe.agent, request)
        return _Question(sample, (items[item_id],), retrieved, lists, request)

    rows = table.select("user_id", "timestamp", "request", "item_id").rows()
    found = _asked("Retrieving for requests", rows, question)
    return [one for one in found if one is not None], sum(one is None for one in found)


def _complements(scene: Scene, table: pl.DataFrame, max_asked: int) -> tuple[list[_Question], int]:
    """Items whose complements are in the catalogue, asked for nobody in particular, at the newest moment."""
    store, evidence = scene.evidence.store, scene.evidence
    items = _numbers(store.items["item_id"], 1)
    there = table.filter(pl.col("item_id").is_in(list(items)) & pl.col("complement_id").is_in(list(items)))
    wanted = there.group_by("item_id", maintain_order=True).agg("complement_id").rows()
    left_out = table["item_id"].n_unique() - len(wanted)
    generator = np.random.default_rng(sub_seed(scene.recipe.seed, "complements"))
    chosen = sorted(generator.permutation(len(wanted))[:max_asked].tolist())

    def question(row: tuple[str, list[str]]) -> _Question:
        item = items[row[0]]
        sample = moment_of_item(store, item, None)
        lists = _tops(evidence, sample, lambda items_I: complement_lists(evidence, item, sample, items_I))
        retrieved = retrieve_complements(evidence, item, sample)
        return _Question(sample, tuple(items[one] for one in row[1]), retrieved, lists, "")

    return _asked("Retrieving for complements", [wanted[place] for place in chosen], question), left_out


def _scored(scene: Scene, questions: Sequence[_Question], num_left_out: int) -> UseScore:
    retrieved = [question.retrieved for question in questions]
    samples, requests = [one.sample for one in questions], [one.request for one in questions]
    ranked = scene.rank(samples, retrieved, requests)
    windows = [episode for one in ranked for episode in one.episodes]
    names = questions[0].tops if questions else {}
    return UseScore(
        num_asked=len(questions),
        num_left_out=num_left_out,
        recall_at_50=_recall(questions, retrieved, NUM_RETRIEVED),
        recall_by_list={
            name: _recall(questions, [one.tops[name] for one in questions], NUM_RETRIEVED) for name in names
        },
        hit_rate_retrieved=_recall(questions, retrieved, HITS_AT),
        hit_rate_agent=_recall(questions, [one.items for one in ranked], HITS_AT),
        invalid_windows=float(np.mean([one.answer.error is not None for one in windows])) if windows else 0.0,
    )


def _recall(questions: Sequence[_Question], lists: Sequence[Sequence[int]], places: int) -> float:
    """Return the share of wanted items among the first places: for one wanted item each, the hit rate."""
    found = [
        sum(item in items[:places] for item in question.wanted)
        for question, items in zip(questions, lists, strict=True)
    ]
    wanted = sum(len(question.wanted) for question in questions)
    return sum(found) / wanted if wanted else 0.0


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
