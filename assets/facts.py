"""What a person sees on an asset in Dagster: counts, metrics, a table, a small picture, links, hashes."""

import json
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from assets.pictures import picture
from assets.tables import markdown_table, results_table, systems_of
from recops.artifacts import read_json
from recops.runner import REPORT, flatten
from recops.stage import StageName
from recops.versioning import output_hash

_MAIN_TABLES: dict[StageName, str] = {
    "raw_data": "interactions.parquet",
    "validated_splits": "interactions.parquet",
    "sasrec_embeddings": "item_embeddings.parquet",
    "baselines": "rankings.parquet",
    "expert_episodes": "episodes.parquet",
    "preference_pairs": "pairs.parquet",
    "evaluation_reports": "rankings.parquet",
}
"""Stage -> the table whose rows Dagster counts in its catalog."""

_HEADS: dict[StageName, str] = {
    "raw_data": "items.parquet",
    "validated_splits": "samples.parquet",
    "sasrec_embeddings": "item_embeddings.parquet",
    "preference_pairs": "pairs.parquet",
}
"""Stage -> the table whose first rows say most about it."""

REJECTED = "rejected.json"
CURVE = "curve.parquet"

Metadata = dict[str, Any]


def stage_metadata(
    stage: StageName, folder: Path, *, url: str | None, lock_entry: Mapping[str, Any] | None = None
) -> Metadata:
    """Return the metadata of an artefact, typed as Dagster Pipes wants it.

    Args:
        stage: what made it.
        folder: where it lies.
        url: address of its run in MLflow, or None where that is gone.
        lock_entry: what dvc.lock says about it; None for a trial, which DVC does not know.
    """
    return {
        "artefact": {"type": "path", "raw_value": str(folder)},
        **_links(stage, folder, url),
        **(_hashes(lock_entry) if lock_entry else {}),
        "bytes": {"type": "int", "raw_value": sum(file.stat().st_size for file in folder.rglob("*") if file.is_file())},
        **_rows(stage, folder),
        **_numbers(read_json(folder / REPORT)),
        **_metrics(folder),
        **{name: {"type": "md", "raw_value": text} for name, text in _pages(stage, folder)},
    }


def _links(stage: StageName, folder: Path, url: str | None) -> Metadata:
    """The artefact's own pages as files, its run in MLflow, and the report there, where a browser can open it."""
    links: Metadata = {page.stem: {"type": "path", "raw_value": str(page)} for page in sorted(folder.glob("*.html"))}
    if url:
        links["mlflow_run"] = {"type": "url", "raw_value": url}
        if stage == "evaluation_reports":
            links["report_in_mlflow"] = {"type": "url", "raw_value": f"{url}/artifacts/report.html"}
    return links


def _hashes(entry: Mapping[str, Any]) -> Metadata:
    """The artefact's own hash, and those of the artefacts that it was made from."""
    made_from = {dep["path"]: dep["md5"] for dep in entry["deps"] if dep["md5"].endswith(".dir")}
    texts = {
        "dvc_hash": output_hash(dict(entry)),
        **{f"dvc_hash_of.{Path(path).name}": md5 for path, md5 in made_from.items()},
    }
    return {name: {"type": "text", "raw_value": text} for name, text in texts.items()}


def _rows(stage: StageName, folder: Path) -> Metadata:
    """Rows of every table, from the files' footers."""
    import pyarrow.parquet as pq

    rows = {file.name: pq.read_metadata(file).num_rows for file in sorted(folder.glob("*.parquet"))}
    counts = {f"rows.{name.removesuffix('.parquet')}": count for name, count in rows.items()}
    if stage in _MAIN_TABLES:
        counts["dagster/row_count"] = rows[_MAIN_TABLES[stage]]
    return {name: {"type": "int", "raw_value": count} for name, count in counts.items()}


def _numbers(report: dict[str, Any]) -> Metadata:
    """The report's top level and one below: what is nested deeper is shown as a table."""
    flat = {key: value for key, value in flatten(report).items() if key.count(".") <= 1}
    types = {bool: "bool", int: "int", float: "float", str: "text"}
    return {
        key: {"type": types[type(value)], "raw_value": value} for key, value in flat.items() if type(value) in types
    }


def _metrics(folder: Path) -> Metadata:
    """NDCG@10 of every system as a number of its own: Dagster plots those over time."""
    metrics = folder / "metrics.json"
    systems = systems_of(read_json(metrics)) if metrics.is_file() else {}
    return {
        f"ndcg@10.{name}": {"type": "float", "raw_value": values["ndcg@10"]["mean"]} for name, values in systems.items()
    }


def _pages(stage: StageName, folder: Path) -> Iterator[tuple[str, str]]:
    metrics, episodes = (folder / name for name in ("metrics.json", "episodes.parquet"))
    drawn = picture(stage, folder)
    if drawn:
        yield "picture", drawn
    if metrics.is_file():
        yield "results", results_table(systems_of(read_json(metrics)))
    if episodes.is_file():
        yield from _episodes(episodes)
    if (folder / REJECTED).is_file():
        yield "rejected", _reasons(read_json(folder / REJECTED), ("expert", "reason", "episodes"))
    if stage == "validated_splits":
        yield "quarantine", _reasons(read_json(folder / REPORT)["quarantine"], ("table", "reason", "rows"))
    if stage in _HEADS:
        yield "first_rows", _head(folder / _HEADS[stage])
    if (folder / CURVE).is_file():
        yield "training", _training(folder / CURVE)


def _head(table: Path) -> str:
    import polars as pl

    rows = pl.read_parquet(table, n_rows=5)
    return markdown_table(rows.columns, [[_short(value) for value in row] for row in rows.iter_rows()])


def _training(curve: Path) -> str:
    """What each number of a training was at its first and at its last step."""
    import polars as pl

    ends = (pl.col(name).sort_by("step") for name in ("step", "value"))
    first_last = [
        place for end in ends for place in (end.first().name.prefix("first_"), end.last().name.prefix("last_"))
    ]
    rows = pl.read_parquet(curve).group_by("name").agg(*first_last).sort("name")
    columns = ("name", "first_step", "first_value", "last_step", "last_value")
    return markdown_table(columns, [[_short(row[column]) for column in columns] for row in rows.iter_rows(named=True)])


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


def _reasons(reasons: dict[str, dict[str, int]], columns: tuple[str, str, str]) -> str:
    """Why something was left out, and how much of it: what it is of, the reason, the count."""
    rows = [[source, reason, str(count)] for source, counts in reasons.items() for reason, count in counts.items()]
    return markdown_table(columns, rows)


def _words(turn: dict[str, Any]) -> str:
    calls = [json.dumps(call.get("function", call), ensure_ascii=False) for call in turn.get("tool_calls") or ()]
    return "\n".join([str(turn.get("content") or ""), *calls]).strip()
