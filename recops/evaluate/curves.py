"""Training curves of the policies, as their stages wrote them, put side by side."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from recops.evaluate.plots import Line
from recops.evaluate.wording import system_name
from recops.stage import StageName

CURVE = "curve.parquet"

_SUPERVISED: tuple[StageName, ...] = ("base_policy", "sft_checkpoint")
_LLM_BASELINES: tuple[StageName, ...] = ("llm_baselines",)
_REINFORCED: tuple[StageName, ...] = ("grpo_model", "ppr_model")
_PANELS: dict[str, tuple[str, tuple[StageName, ...]]] = {
    "Reward": ("reward", _REINFORCED),
    "NDCG term": ("ndcg", _REINFORCED),
    "Preference term": ("preference", _REINFORCED),
    "Share of invalid answers": ("invalid", _REINFORCED),
    "Calls per episode": ("calls", _REINFORCED),
    "Entropy": ("entropy", _REINFORCED),
    "Share of groups dropped": ("groups/dropped", _REINFORCED),
    "Share of groups without variance": ("groups/zero_variance", _REINFORCED),
    "Supervised loss": ("loss", _SUPERVISED),
    "LLaRA: loss": ("llara/loss", _LLM_BASELINES),
    "S-DPO: loss of SFT": ("s_dpo_sft/loss", _LLM_BASELINES),
    "S-DPO: preference loss": ("s_dpo/loss", _LLM_BASELINES),
}
"""Title -> logged name and the stages whose value says something: the loss of GRPO does not, its expectation is 0."""

MAX_POINTS = 400
"""Points of one drawn line: more would be finer than the screen."""


def read_curves(folders: Mapping[StageName, Path]) -> pl.DataFrame:
    """Return the curves of all `folders` as `stage`, `name`, `step`, `value`, ordered by training, name, step."""
    frames = [
        pl.read_parquet(folder / CURVE)
        .select(pl.lit(stage).alias("stage"), "name", pl.col("step").cast(pl.Int64), pl.col("value").cast(pl.Float64))
        .sort("name", "step", maintain_order=True)
        for stage, folder in folders.items()
    ]
    return pl.concat(frames)


def panels(curves: pl.DataFrame) -> dict[str, list[Line]]:
    """Return the panels that have a curve, by title, with a line per stage."""
    shown = {}
    for title, (name, stages) in _PANELS.items():
        curve = curves.filter((pl.col("name") == name) & pl.col("stage").is_in(stages))
        if len(curve):
            shown[title] = _lines(curve)
    return shown


def _lines(curve: pl.DataFrame) -> list[Line]:
    return [
        Line(system_name(str(stage)), part["step"].to_list(), part["value"].to_list())
        for (stage,), rows in curve.group_by("stage", maintain_order=True)
        for part in [rows.gather_every(max(1, len(rows) // MAX_POINTS))]
    ]
