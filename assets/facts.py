"""What a person sees on an asset in Dagster: numbers, a table, a small plot, links. Runs in the child process."""

import base64
import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from assets.tables import markdown_table, results_table
from recops.artifacts import read_json
from recops.runner import StageResult, flatten
from recops.stage import StageName

MAX_PLOT_BYTES = 60_000
"""Larger metadata slows Dagster's pages down."""
MAX_PANELS = 4

_HEADS = {
    "raw_data": "items.parquet",
    "validated_splits": "samples.parquet",
    "sasrec_embeddings": "item_embeddings.parquet",
    "preference_pairs": "pairs.parquet",
}
"""Stage -> the table whose first rows say most about it."""

REJECTED = "rejected.json"

Metadata = dict[str, Any]


def stage_metadata(stage: StageName, result: StageResult, *, url: str) -> Metadata:
    """Return the metadata of a materialization, typed as Dagster Pipes wants it."""
    folder = result.artefact
    return {
        "artefact": {"type": "path", "raw_value": str(folder)},
        "mlflow_run": {"type": "url", "raw_value": url},
        "bytes": {"type": "int", "raw_value": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())},
        **_numbers(result.report),
        **{name: {"type": "md", "raw_value": text} for name, text in _pages(stage, folder)},
    }


def _numbers(report: dict[str, Any]) -> Metadata:
    """The report's top level and one below: what is nested deeper is shown as a table."""
    flat = {key: value for key, value in flatten(report).items() if key.count(".") <= 1}
    types = {bool: "bool", int: "int", float: "float", str: "text"}
    return {
        key: {"type": types[type(value)], "raw_value": value} for key, value in flat.items() if type(value) in types
    }


def _pages(stage: StageName, folder: Path) -> Iterator[tuple[str, str]]:
    metrics, curve, episodes = (folder / name for name in ("metrics.json", "curve.parquet", "episodes.parquet"))
    if metrics.is_file():
        yield "results", results_table(_systems(read_json(metrics)))
    if curve.is_file():
        yield "curve", _plot(curve)
    if episodes.is_file():
        yield from _episodes(episodes)
    if (folder / REJECTED).is_file():
        yield "rejected", _rejected(read_json(folder / REJECTED))
    if stage in _HEADS:
        yield "first_rows", _head(folder / _HEADS[stage])


def _systems(metrics: dict[str, Any]) -> dict[str, Any]:
    """Metrics by system on all test samples; the baselines' file has more beside these."""
    if "systems" in metrics:
        return dict(metrics["systems"])
    tables = metrics["slices"]["test"]["ranked"]["candidates"]["systems"]
    return {name: groups["all"] for name, groups in tables.items()}


def _head(table: Path) -> str:
    import polars as pl

    rows = pl.read_parquet(table, n_rows=5)
    return markdown_table(rows.columns, [[_short(value) for value in row] for row in rows.iter_rows()])


def _short(value: Any) -> str:
    text = f"{value:.4g}" if isinstance(value, float) else str(value)
    return text if len(text) <= 60 else f"{text[:57]}..."


def _episodes(table: Path) -> Iterator[tuple[str, str]]:
    """An example of each expert; of played systems the last episode, of the most trained policy there."""
    import polars as pl

    if "source" not in pl.read_parquet_schema(table):
        yield "an_episode", _episode(pl.read_parquet(table, columns=["messages"])["messages"][-1])
        return
    frame = pl.read_parquet(table, columns=["source", "messages"])
    for (source,), episodes in frame.group_by("source", maintain_order=True):
        yield f"example_{source}", _episode(episodes["messages"][0])


def _episode(messages: str) -> str:
    """An episode as a fenced block: titles in it are data, not Markdown."""
    turns = [f"{turn['role']}: {_words(turn)}" for turn in json.loads(messages)]
    return "~~~text\n" + "\n\n".join(turns).replace("~~~", "~ ~ ~") + "\n~~~"


def _rejected(reasons: dict[str, dict[str, int]]) -> str:
    """Why episodes were left out, and how many, by expert."""
    rows = [[source, reason, str(count)] for source, counts in reasons.items() for reason, count in counts.items()]
    return markdown_table(["expert", "reason", "episodes"], rows)


def _words(turn: dict[str, Any]) -> str:
    calls = [json.dumps(call.get("function", call), ensure_ascii=False) for call in turn.get("tool_calls") or ()]
    return "\n".join([str(turn.get("content") or ""), *calls]).strip()


def _plot(curve: Path) -> str:
    """Loss, reward and what else a training wrote over its steps, as an image inside the page."""
    import polars as pl
    from matplotlib.figure import Figure

    frame = pl.read_parquet(curve)
    names = frame["name"].unique(maintain_order=True).to_list()[:MAX_PANELS]
    figure = Figure(figsize=(3 * len(names), 2.2), layout="constrained")
    for axes, name in zip(figure.subplots(1, len(names), squeeze=False)[0], names, strict=True):
        points = frame.filter(pl.col("name") == name).sort("step")
        axes.plot(points["step"], points["value"])
        axes.set_title(name, fontsize=9)
        axes.set_xlabel("step", fontsize=8)
        axes.tick_params(labelsize=7)
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=70)
    if image.tell() > MAX_PLOT_BYTES:
        return f"The plot has {image.tell()} bytes, too many for this page: see the MLflow run."
    return f"![{', '.join(names)}](data:image/png;base64,{base64.b64encode(image.getvalue()).decode()})"
