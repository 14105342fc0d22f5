"""Training curves of the policies, as their stages wrote them, put side by side."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from recops.agent.rewards import OWN
from recops.evaluate.plots import Line
from recops.evaluate.wording import system_name
from recops.stage import StageName

CURVE = "curve.parquet"
CALLS_BY_TOOL = "Calls by tool"
Panels = dict[str, list[Line]]

_SUPERVISED: tuple[StageName, ...] = ("base_policy", "sft_checkpoint")
_LLM_BASELINES: tuple[StageName, ...] = ("llm_baselines",)
_REINFORCED: tuple[StageName, ...] = ("grpo_model", "ppr_model")
_TERMS = {
    "Reward": "reward",
    "NDCG term": "ndcg",
    "Preference term": "preference",
    "Absent target": "terms/absent",
    "Invalid answer": "terms/invalid",
    "Tool bonus": "terms/tool_bonus",
    "Cost of calls": "terms/call_cost",
}
"""Title -> logged name. A term that is 0 at every step is switched off, or never applied, and is not drawn."""

_EPISODES = {
    "Share of invalid answers": "invalid_share",
    "Share of truncated episodes": "invalid_share/truncated",
    "Calls per episode": "calls",
    "Failed calls per episode": "failed_calls",
    "Tokens per episode": "tokens",
    "Entropy": "entropy",
    "KL from the stage before": "kl",
    "Share of groups dropped": "groups/dropped",
    "Share of groups without variance": "groups/zero_variance",
    "Learning rate": "learning_rate",
}
_LOSSES: dict[str, tuple[str, tuple[StageName, ...]]] = {
    "Supervised loss": ("loss", _SUPERVISED),
    "LLaRA: loss": ("llara/loss", _LLM_BASELINES),
    "S-DPO: loss of SFT": ("s_dpo_sft/loss", _LLM_BASELINES),
    "S-DPO: preference loss": ("s_dpo/loss", _LLM_BASELINES),
}
"""Title -> logged name and the stages whose value says something: the loss of GRPO does not, its expectation is 0."""

_CALLS = "calls/"
"""What the logged names of single tools begin with; a tool that was never called is not drawn."""

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


def sections(curves: pl.DataFrame) -> dict[str, Panels]:
    """Return by heading the panels that have a curve, by title, with a line per stage."""
    reinforced = curves.filter(pl.col("stage").is_in(_REINFORCED))
    own = {f"{name.removeprefix(OWN)} (own)": name for name in _names(reinforced, OWN)}
    calls = {name.removeprefix(_CALLS): name for name in _names(reinforced, _CALLS)}
    moved = reinforced.filter(pl.col("value").ne(0).any().over("name"))
    drawn = {
        "Reward and its terms": _panels(moved, {**_TERMS, **own}),
        "Episodes and groups": _panels(reinforced, _EPISODES),
        CALLS_BY_TOOL: _panels(moved, calls),
        "Losses": {
            title: lines
            for title, (name, stages) in _LOSSES.items()
            for lines in _panels(curves.filter(pl.col("stage").is_in(stages)), {title: name}).values()
        },
    }
    return {heading: panels for heading, panels in drawn.items() if panels}


def _names(curves: pl.DataFrame, prefix: str) -> list[str]:
    return [str(name) for name in curves["name"].unique().sort() if str(name).startswith(prefix)]


def _panels(curves: pl.DataFrame, names: Mapping[str, str]) -> Panels:
    parts = {title: curves.filter(pl.col("name") == name) for title, name in names.items()}
    return {title: _lines(part) for title, part in parts.items() if len(part)}


def _lines(curve: pl.DataFrame) -> list[Line]:
    return [
        Line(system_name(str(stage)), part["step"].to_list(), part["value"].to_list())
        for (stage,), rows in curve.group_by("stage", maintain_order=True)
        for part in [rows.gather_every(max(1, len(rows) // MAX_POINTS))]
    ]
