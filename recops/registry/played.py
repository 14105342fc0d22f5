"""What a registered model does on the newest candidates: read from its own evaluation where that played them, else
played now.

Played now, a model has the newest tables (histories, counts, texts), as it would have where it serves, and what it has
learned itself: its policy and its SASRec, whose items and users take the places that they have in the newer data.
"""

import shutil
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.artifacts import verify
from recops.data.samples import HARD_CANDIDATES, HARD_FACTS
from recops.evaluate.agent import player_of, ranking_tasks
from recops.evaluate.systems import System
from recops.registry.bundle import POLICY, Bundle
from recops.registry.newest import Newest
from recops.retrieval.evidence import Evidence
from recops.retrieval.transplant import transplant_sasrec


@dataclass(frozen=True)
class Played:
    """One model on the newest candidates.

    Attributes:
        ranks: the target's 0-based rank per sample, shape (N,), `ABSENT` where it is not in a valid answer.
        invalid_fraction: share of invalid answers.
        was_now: whether it was played for this decision, not by its own evaluation.
    """

    ranks: NDArray[np.int64]
    invalid_fraction: float
    was_now: bool


def played_on(newest: Newest, bundle: Bundle, folder: Path) -> Played:
    """Return what a model does on the newest candidates.

    Args:
        newest: the candidates.
        bundle: the model.
        folder: empty, for temporary files.

    Raises:
        InputError: a file of the model is missing or damaged, or it cannot be played on the newest data.
    """
    return _of_evaluation(newest, bundle) or _play(newest, bundle, folder)


def _of_evaluation(newest: Newest, bundle: Bundle) -> Played | None:
    if bundle.metrics["candidates_sha256"] != newest.candidates_sha256:
        return None
    rows = pl.read_parquet(bundle.told / "rankings.parquet")
    rows = rows.filter((pl.col("system") == POLICY) & (pl.col("slice") == "test")).sort("sample_id")
    if not np.array_equal(rows["sample_id"].to_numpy(), newest.sample_ids):
        return None
    invalid = 1.0 - float(rows["valid_answer"].cast(pl.Float64).to_numpy().mean())
    return Played(rows["rank"].to_numpy().astype(np.int64), invalid, was_now=False)


def _play(newest: Newest, bundle: Bundle, folder: Path) -> Played:
    splits, sasrec, policy = (
        bundle.layout.artefact(stage) for stage in ("validated_splits", "sasrec_embeddings", POLICY)
    )
    for artefact in (splits, sasrec, policy):
        verify(artefact)
    transplant_sasrec(sasrec, splits=splits, newer=newest.splits, out=folder)
    for name in (HARD_CANDIDATES, HARD_FACTS):
        if (newest.sasrec / name).is_file():
            shutil.copy2(newest.sasrec / name, folder / name)
    evidence = Evidence.load(newest.splits, folder, bundle.agent, newest.recipe.seed)
    play = player_of(
        policy,
        evidence,
        bundle.agent,
        seed=newest.recipe.seed,
        batch_size=newest.recipe.evaluation_reports.batch_size,
        constrain_answers=bundle.constrains_answers,
    )
    system = System.of_agent(POLICY, play(ranking_tasks(evidence.store, newest.sample_ids)))
    invalid = [episode.answer.error is not None for episode in system.episodes]
    return Played(system.ranks, float(np.mean(invalid)), was_now=True)
