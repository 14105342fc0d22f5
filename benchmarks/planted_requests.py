"""How well `search_catalog` and `get_related_items` find what the simulated store has planted.

After the stages up to `sasrec_embeddings`: python -m benchmarks.planted_requests --recipe embedded
"""

import argparse
from pathlib import Path

import numpy as np
import polars as pl

from recops.config.recipe import load_recipe
from recops.data.samples import SampleStore
from recops.paths import Layout, project_root
from recops.retrieval.evidence import Evidence
from recops.retrieval.item_evidence import ItemEvidence, Moment

CUTOFFS = (1, 2, 5, 10)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--recipe", default="embedded")
    recipe = parser.parse_args().recipe
    layout = Layout(project_root(), recipe)
    raw, splits, sasrec = (layout.artefact(name) for name in ("raw_data", "validated_splits", "sasrec_embeddings"))
    settings = load_recipe(layout.recipe_file)
    evidence = Evidence.load(splits, sasrec, settings.agent, settings.seed)
    print(table(evidence.store, evidence.catalogue, raw))


def table(store: SampleStore, catalogue: ItemEvidence, raw: Path) -> str:
    """Return recall at each cutoff, as Markdown, beside what items drawn at random would reach."""
    rows = {
        "requests": request_ranks(store, catalogue, pl.read_parquet(raw / "requests.parquet")),
        "complements": complement_ranks(store, catalogue, pl.read_parquet(raw / "complements.parquet")),
    }
    lines = [
        f"| planted | number | {' | '.join(f'recall@{k}' for k in CUTOFFS)} |",
        f"|---|---:|{'---:|' * len(CUTOFFS)}",
    ]
    for name, ranks in rows.items():
        lines.append(f"| {name} | {len(ranks)} | {' | '.join(f'{recall_at(ranks, k):.3f}' for k in CUTOFFS)} |")
    chance = " | ".join(f"{k / store.num_items:.3f}" for k in CUTOFFS)
    return "\n".join([*lines, f"| at random | | {chance} |"])


def recall_at(ranks: list[int], cutoff: int) -> float:
    """Return the share of planted items among the first `cutoff` that were found."""
    return float(np.mean([rank < cutoff for rank in ranks]))


def request_ranks(store: SampleStore, catalogue: ItemEvidence, requests: pl.DataFrame) -> list[int]:
    """Return the rank of the item meant by each request, from 0, among what a search finds that is new to the user."""
    items, users = _numbers(store.items["item_id"], 1), _numbers(store.users["user_id"], 0)
    ranks = []
    for user, timestamp, request, item in requests.select("user_id", "timestamp", "request", "item_id").iter_rows():
        if item not in items:
            continue  # too few took it: the k-core has dropped it, and no agent could name it
        rows = store.user_rows(users[user]) if user in users else slice(0, 0)
        taken = store.item[rows][store.timestamp[rows] < timestamp]
        found = catalogue.search(request, Moment(timestamp, frozenset(taken.tolist())), max(CUTOFFS))
        ranks.append(found.index(items[item]) if items[item] in found else max(CUTOFFS))
    return ranks


def complement_ranks(store: SampleStore, catalogue: ItemEvidence, complements: pl.DataFrame) -> list[int]:
    """Return the rank of each complement, from 0, among what was taken with its item by the end of the data."""
    items, end = _numbers(store.items["item_id"], 1), int(store.timestamp.max()) + 1
    pairs = complements.select("item_id", "complement_id").iter_rows()
    ranks = []
    for item, complement in ((items[one], items[other]) for one, other in pairs if one in items and other in items):
        found = catalogue.taken_together(item, end)[0].tolist()
        ranks.append(found.index(complement) if complement in found else store.num_items)
    return ranks


def _numbers(ids: pl.Series, first: int) -> dict[str, int]:
    return {one: number for number, one in enumerate(ids.to_list(), start=first)}


if __name__ == "__main__":
    main()
