"""The same samples with other candidates: whether a system is as good where negatives are drawn otherwise.

Uniform negatives alone reward a policy that only knows what is popular: a popular item is seldom among them, so that it
is mostly the target.
"""

from collections.abc import Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from recops.artifacts import write_json
from recops.config.evaluation_reports import EvaluationConfig
from recops.evaluate.measured import Scene, further_kind, measure
from recops.evaluate.systems import Comparison, differences, metrics_by_system
from recops.evaluate.tables import rank_frame
from recops.evaluate.wording import reading

RESULTS, RANKINGS = "further_candidates.json", "further_rankings.parquet"


def measure_further(scene: Scene) -> dict[str, Comparison]:
    """Return every system on the test samples by the kind of negatives, as the recipe names them.

    Raises:
        InputError: no such candidates are frozen, or the baselines lack a sample.
    """
    store, where = scene.evidence.store, "evaluation_reports.further_candidates"
    kinds = {negatives: further_kind(store, negatives, where=where) for negatives in scene.config.further_candidates}
    return {
        negatives: measure(scene, "test", scene.config.max_samples, candidate_kind=kind)
        for negatives, kind in kinds.items()
    }


def further_results(
    comparisons: Mapping[str, Comparison], config: EvaluationConfig, num_ranked: int, seed: int
) -> dict[str, Any]:
    """Return by kind of negatives `num_samples`, `systems` and `differences`, as the files of the own candidates do."""
    return {
        negatives: {
            "num_samples": len(comparison.sample_ids),
            "systems": metrics_by_system(comparison, config, num_ranked, seed),
            "differences": told_differences(comparison, config, seed),
        }
        for negatives, comparison in comparisons.items()
    }


def told_differences(comparison: Comparison, config: EvaluationConfig, seed: int) -> list[dict[str, Any]]:
    """Return the paired differences of a comparison, each with what it shows in a sentence, as plain values."""
    return [{**asdict(paired), "reading": reading(paired)} for paired in differences(comparison, config, seed)]


def write_further(out: Path, comparisons: Mapping[str, Comparison], results: Mapping[str, Any]) -> None:
    """Write the numbers and the ranks behind them below `out`; nothing where the recipe names no further candidates."""
    if not comparisons:
        return
    write_json(out / RESULTS, results)
    frames = [
        rank_frame("test", comparison, system).with_columns(pl.lit(negatives).alias("negatives"))
        for negatives, comparison in comparisons.items()
        for system in comparison.systems
    ]
    pl.concat(frames).write_parquet(out / RANKINGS)
