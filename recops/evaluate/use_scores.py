"""How well the agent serves from the whole catalogue: what comes next, what is asked for, what goes with an item.

Nothing is inserted: where the wanted item is not among the retrieved, it is missed. A *hit* is a wanted item among the
first ten. Each number stands beside that of the retrieved order alone, so that what the agent adds can be seen.
"""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
import polars as pl

from recops.artifacts import read_json, verify, write_json
from recops.config.recipe import Recipe
from recops.evaluate.recommend import Scene, open_scene
from recops.evaluate.retrieve import NUM_RETRIEVED, merged
from recops.evaluate.use_questions import Question, complements, next_items, requests
from recops.paths import Layout
from recops.records import SliceName
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
        hit_rate_agent: the same in the agent's order.
        hit_rate_merged: the same in both orders merged, as `recops recommend` does for the last two kinds.
        invalid_windows: share of windows without a valid answer.
    """

    num_asked: int
    num_left_out: int
    recall_at_50: float
    recall_by_list: dict[str, float]
    hit_rate_retrieved: float
    hit_rate_agent: float
    hit_rate_merged: float
    invalid_windows: float


@dataclass(frozen=True)
class UseScores:
    """All that was measured, by kind of use; requests and complements only where the data has planted ones."""

    recipe: str
    policy: str
    slice: str
    fingerprint: str
    scores: dict[str, UseScore]


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
    scores = {"next item": _scored(scene, *next_items(scene, slice_name, max_samples))}
    if (raw / REQUESTS).is_file():
        scores["requests"] = _scored(scene, *requests(scene, pl.read_parquet(raw / REQUESTS)))
    if (raw / COMPLEMENTS).is_file():
        scores["complements"] = _scored(scene, *complements(scene, pl.read_parquet(raw / COMPLEMENTS), max_samples))
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
    head = ["use", "asked", "recall@50", "HR@10 retrieved", "HR@10 agent", "HR@10 merged", "invalid windows"]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for name, one in scores.scores.items():
        numbers = (one.recall_at_50, one.hit_rate_retrieved, one.hit_rate_agent, one.hit_rate_merged)
        cells = [str(one.num_asked), *(f"{value:.3f}" for value in numbers), f"{one.invalid_windows:.1%}"]
        lines.append(f"| {name} | {' | '.join(cells)} |")
    return "\n".join(lines)


def _scored(scene: Scene, questions: Sequence[Question], num_left_out: int) -> UseScore:
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
        hit_rate_merged=_recall(
            questions, [merged([one.items, items]) for one, items in zip(ranked, retrieved, strict=True)], HITS_AT
        ),
        invalid_windows=float(np.mean([one.answer.error is not None for one in windows])) if windows else 0.0,
    )


def _recall(questions: Sequence[Question], lists: Sequence[Sequence[int]], places: int) -> float:
    """Return the share of wanted items among the first places: for one wanted item each, the hit rate."""
    found = [
        sum(item in items[:places] for item in question.wanted)
        for question, items in zip(questions, lists, strict=True)
    ]
    wanted = sum(len(question.wanted) for question in questions)
    return sum(found) / wanted if wanted else 0.0
