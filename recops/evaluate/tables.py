"""Tables of the evaluation as files: ranks of every system, played episodes, metrics as CSV, data of `dvc plots`."""

from pathlib import Path
from typing import Any

import polars as pl

from recops.evaluate.episode_table import episodes_to_frame
from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.systems import Comparison, System
from recops.metrics import METRICS
from recops.records import SliceName

AGENT_FACTS = ("invalid_answers", "calls_per_episode", "copies_one_tool")


def write_tables(
    out: Path, comparison: Comparison, valid: Comparison | None, *, metrics: dict[str, Any], curves: pl.DataFrame
) -> None:
    """Write `rankings.parquet`, `episodes.parquet`, `table.csv` and the folder `plots` below `out`."""
    slices: list[tuple[SliceName, Comparison]] = [("test", comparison)]
    slices += [("valid", valid)] if valid else []
    rankings = [rank_frame(name, part, system) for name, part in slices for system in part.systems]
    pl.concat(rankings).write_parquet(out / "rankings.parquet")
    episodes = [episodes_to_frame(agent.name, agent.episodes) for agent in comparison.agents]
    pl.concat(episodes).write_parquet(out / "episodes.parquet")
    table = metric_frame(comparison, metrics["systems"])
    table.write_csv(out / "table.csv")
    _write_plots(out / "plots", table, curves)


def rank_frame(slice_name: SliceName, comparison: Comparison, system: System) -> pl.DataFrame:
    """Return `system`, `sample_id`, `slice`, `rank` (0-based), `valid_answer`, `num_calls`, one row per sample."""
    episodes = system.episodes or (None,) * len(comparison.sample_ids)
    return pl.DataFrame(
        {
            "system": [system.name] * len(episodes),
            "sample_id": comparison.sample_ids,
            "slice": [slice_name] * len(episodes),
            "rank": system.ranks,
            "valid_answer": [episode is None or episode.answer.error is None for episode in episodes],
            "num_calls": [0 if episode is None else len(episode.calls) for episode in episodes],
        },
        schema_overrides={"sample_id": pl.Int32, "rank": pl.Int32, "num_calls": pl.Int32},
    )


def metric_frame(comparison: Comparison, systems: dict[str, dict[str, Any]]) -> pl.DataFrame:
    """Return one row per system: every metric with the ends of its interval, and what episodes show (null if none)."""
    rows = [
        {
            "system": system.name,
            "kind": "agent" if system.is_agent else "baseline",
            **{column: value for metric in METRICS for column, value in _cells(metric, systems[system.name][metric])},
            **{fact: systems[system.name].get(fact) for fact in AGENT_FACTS},
        }
        for system in comparison.systems
    ]
    return pl.DataFrame(rows, schema_overrides=dict.fromkeys(AGENT_FACTS, pl.Float64))


def _cells(metric: str, row: dict[str, float]) -> list[tuple[str, float]]:
    return [(metric, row["mean"]), (f"{metric}_low", row["low"]), (f"{metric}_high", row["high"])]


def _write_plots(folder: Path, table: pl.DataFrame, curves: pl.DataFrame) -> None:
    """Write what `dvc plots` draws. Field names are plain words, for Vega reads dots and brackets as paths."""
    folder.mkdir()
    columns = {MAIN_METRIC: "ndcg_at_10", f"{MAIN_METRIC}_low": "low", f"{MAIN_METRIC}_high": "high"}
    table.select("system", *columns).rename(columns).write_csv(folder / "ndcg.csv")
    curves.write_csv(folder / "curves.csv")
