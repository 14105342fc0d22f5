"""Training curves of the policies, as their stages wrote them, put side by side."""

from collections.abc import Mapping
from pathlib import Path

import polars as pl

from recops.evaluate.plots import Line
from recops.evaluate.wording import system_name
from recops.stage import StageName

CURVE = "curve.parquet"
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
    """Return one panel per quantity, those that several stages share first, with a line per stage."""
    stages = curves.group_by("name").agg(pl.col("stage").n_unique())
    names = stages.sort(pl.col("stage"), pl.col("name"), descending=[True, False])["name"].to_list()
    return {name: _lines(curves.filter(pl.col("name") == name)) for name in names}


def _lines(curve: pl.DataFrame) -> list[Line]:
    return [
        Line(system_name(str(stage)), part["step"].to_list(), part["value"].to_list())
        for (stage,), rows in curve.group_by("stage", maintain_order=True)
        for part in [rows.gather_every(max(1, len(rows) // MAX_POINTS))]
    ]
