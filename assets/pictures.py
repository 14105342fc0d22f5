"""A small picture of each artefact for its page in Dagster: training curves, rows over time, systems side by side."""

import base64
import io
from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recops.agent.rewards import TERMS
from recops.artifacts import read_json
from recops.metrics import ABSENT
from recops.stage import StageName

if TYPE_CHECKING:
    # For the checker alone: these are loaded where a picture is drawn.
    from matplotlib.figure import Figure

MAX_PICTURE_BYTES = 60_000
"""Larger metadata slows Dagster's pages down."""
MAX_PANELS = 4
MAX_BARS = 14
_FIRST = ("reward", "loss", "ndcg", "invalid_share")
"""Curves that are drawn before others."""
_HEIGHT_INCHES = 2.2

Series = tuple[str, list[float], list[float]]
"""Title, x and y of one panel."""


def picture(stage: StageName, folder: Path) -> str | None:
    """Return the picture of an artefact as Markdown with the image in it, or None where there is nothing to draw."""
    if (folder / "curve.parquet").is_file():
        return _lines(_training(folder / "curve.parquet"), x="step")
    draw = _PICTURES.get(stage)
    return draw(folder) if draw else None


def _training(curve: Path) -> list[Series]:
    """Loss, reward and what else a training wrote over its steps."""
    import polars as pl

    frame = pl.read_parquet(curve)
    names = sorted(frame["name"].unique(), key=_importance)[:MAX_PANELS]
    parts = [frame.filter(pl.col("name") == name).sort("step") for name in names]
    return [(name, part["step"].to_list(), part["value"].to_list()) for name, part in zip(names, parts, strict=True)]


def _importance(name: str) -> tuple[int, str]:
    """What says most comes first; of two trainings in one file both."""
    last = name if name.startswith(TERMS) else name.rpartition("/")[2]
    return (_FIRST.index(last) if last in _FIRST else len(_FIRST), name)


def _interactions(folder: Path) -> str:
    """Interactions per month; a row whose time is outside of the calendar is left to `validated_splits` to refuse."""
    import polars as pl

    month = pl.from_epoch("timestamp", time_unit="ms").dt.truncate("1mo")
    counts = pl.scan_parquet(folder / "interactions.parquet").group_by(month).len().sort("timestamp")
    frame = counts.drop_nulls().collect(engine="streaming")
    return _lines([("interactions per month", frame["timestamp"].to_list(), frame["len"].to_list())], x="")


def _sasrec(folder: Path) -> str:
    fit = read_json(folder / "fit.json")
    names = ("select_loss", "select_ndcg", "refit_loss")
    return _lines([(name, list(range(1, len(fit[name]) + 1)), fit[name]) for name in names], x="epoch")


def _experts(folder: Path) -> str:
    return _bars("NDCG@10 of experts and tools", read_json(folder / "report.json")["ndcg"])


def _pairs(folder: Path) -> str:
    import polars as pl

    ranks = pl.read_parquet(folder / "pairs.parquet", columns=["target_rank"])["target_rank"]
    counts = ranks.value_counts().sort("target_rank")
    bars = {"absent" if rank == ABSENT else f"rank {rank + 1}": float(count) for rank, count in counts.iter_rows()}
    return _bars("mined pairs by the target's rank", bars, ordered=False)


def _systems(folder: Path) -> str:
    from assets.tables import systems_of

    systems = systems_of(read_json(folder / "metrics.json"))
    return _bars("NDCG@10", {name: values["ndcg@10"]["mean"] for name, values in systems.items()})


_PICTURES: dict[StageName, Callable[[Path], str]] = {
    "raw_data": _interactions,
    "validated_splits": _interactions,
    "sasrec_embeddings": _sasrec,
    "baselines": _systems,
    "expert_episodes": _experts,
    "preference_pairs": _pairs,
    "evaluation_reports": _systems,
}


def _lines(series: list[Series], *, x: str) -> str:
    figure = _figure(3 * len(series), _HEIGHT_INCHES)
    for axes, (title, steps, values) in zip(figure.subplots(1, len(series), squeeze=False)[0], series, strict=True):
        axes.plot(steps, values)
        axes.set_title(title, fontsize=9)
        axes.set_xlabel(x, fontsize=8)
        axes.tick_params(labelsize=7)
        axes.locator_params(axis="x", nbins=4) if x else axes.tick_params(axis="x", rotation=30)
    return _markdown(figure, ", ".join(title for title, _, _ in series))


def _bars(title: str, values: dict[str, float], *, ordered: bool = True) -> str:
    """The longest bar on top, or the order as it comes; of many the first."""
    pairs: list[Any] = sorted(values.items(), key=lambda pair: -pair[1]) if ordered else list(values.items())
    pairs = pairs[:MAX_BARS]
    figure = _figure(5, 0.6 + 0.2 * len(pairs))
    axes = figure.subplots()
    axes.barh([name for name, _ in reversed(pairs)], [value for _, value in reversed(pairs)])
    axes.set_title(title, fontsize=9)
    axes.tick_params(labelsize=7)
    return _markdown(figure, title)


def _figure(width: float, height: float) -> "Figure":
    from matplotlib.figure import Figure

    return Figure(figsize=(width, height), layout="constrained")


def _markdown(figure: "Figure", alt: str) -> str:
    image = io.BytesIO()
    figure.savefig(image, format="png", dpi=70)
    if image.tell() > MAX_PICTURE_BYTES:
        return f"The picture has {image.tell()} bytes, too many for this page: see the MLflow run."
    return f"![{alt}](data:image/png;base64,{base64.b64encode(image.getvalue()).decode()})"
