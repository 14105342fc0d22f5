"""What a call of each tool costs in a large shop: `python -m benchmarks.tools --items 1000000 --users 1000000`.

The shop is written once (some 2 GB below `--folder`) and opened as a stage opens it. A call is timed on samples that
nobody has asked about, one thread, after `prepare`, as the rollout does; then a pool of threads asks the same.
"""

import argparse
import os
import platform
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from threadpoolctl import threadpool_limits

from benchmarks.tools_shop import NUM_SAMPLES, write_large_shop
from recops.config.agent import SUITES
from recops.config.recipe import load_recipe
from recops.paths import Layout, project_root
from recops.records import Task, label
from recops.retrieval.embeddings import load_user_states
from recops.retrieval.index import ExactIndex, recall
from recops.retrieval.user_index import user_index_recall
from recops.tools.toolbox import Toolbox

NEIGHBOURS = ("get_similar_items", "get_similar_users", "get_related_items", "search_catalog")
"""Tools that look through the catalogue or through other users; the others read candidates and the own history."""
_NUM_RECALL_QUERIES, _NUM_NEIGHBOURS = 500, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=2_000, help="of each tool")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--folder", type=Path, default=Path("/tmp/recops-benchmark-tools"))
    arguments = parser.parse_args()
    root = arguments.folder / f"{arguments.items}-{arguments.users}"
    folders = (root / "splits", root / "sasrec")
    if not root.is_dir():
        staged = root.with_suffix(".part")
        write_large_shop(staged, arguments.items, arguments.users)
        staged.rename(root)
    print(f"{psutil.cpu_count()} cores, {platform.platform()}, load {os.getloadavg()[0]:.1f}\n", flush=True)
    agent = load_recipe(Layout(project_root(), "embedded").recipe_file).agent
    agent = agent.model_copy(update={"tools": SUITES["all"], "tool_fields": ("title", "category", "price", "rating")})
    print("| part | s | MB |\n|---|---:|---:|")
    toolbox = built("Parquet, SASRec, index of users", lambda: Toolbox.load(*folders, agent, 7))
    draw = np.random.default_rng(0)
    tasks = [_task(toolbox, int(one)) for one in draw.permutation(toolbox.store.sample_ids("test"))]
    build_parts(toolbox, tasks.pop())
    prepared = tasks[: arguments.calls]
    started = time.perf_counter()
    toolbox.evidence.prepare(task.sample.sample_id for task in tasks)
    each = (time.perf_counter() - started) / NUM_SAMPLES * 1000
    print(f"\nState and similar users of a sample, in batches: {each:.2f} ms")
    print(f"Recall of the index of items at {_NUM_NEIGHBOURS}: {item_recall(toolbox, tasks):.3f}", flush=True)
    states = load_user_states(folders[1], toolbox.store.items["item_id"], splits=folders[0])
    print(f"Recall of the index of users at 100: {user_index_recall(states, 0):.3f}\n", flush=True)
    timed(toolbox, prepared, arguments.threads)


def _task(toolbox: Toolbox, sample_id: int) -> Task:
    sample = toolbox.store.sample(sample_id)
    return Task(sample, sample.candidates, "rank")


def built(name: str, build: Callable[[], Any]) -> Any:
    """Return what `build` returns; print its time, and by how much the memory of the process grew."""
    process = psutil.Process()
    before, started = process.memory_full_info().uss, time.perf_counter()
    result = build()
    seconds, grown = time.perf_counter() - started, process.memory_full_info().uss - before
    print(f"| {name} | {seconds:.1f} | {grown / 1e6:.0f} |", flush=True)
    return result


def build_parts(toolbox: Toolbox, task: Task) -> None:
    """Ask each tool once: whatever is built on first use is built."""
    for name in SUITES["all"]:
        built(f"first call of `{name}`", lambda name=name: toolbox.call(task, name, _arguments(name, toolbox, task)))


def _arguments(name: str, toolbox: Toolbox, task: Task) -> dict[str, Any]:
    number = task.sample.sample_id
    if name == "get_item_info":
        return {"candidate": label(number % len(task.candidates))}
    if name in ("get_related_items", "get_similar_items"):
        asked = task.sample.history[-1].item  # what the user took last: more often a popular item than a candidate is
        return {"item": toolbox.item_text.field(asked, "title")}
    if name == "search_catalog":
        words = toolbox.store.items["title"][number * 37 % toolbox.store.num_items].split()
        return {"query": f"a gift for {' '.join(words[1 : 2 + number % 5])}"}
    return {"rank_by_popularity": {"window": "recent"}, "get_user_history": {"limit": 10}}.get(name, {})


def item_recall(toolbox: Toolbox, tasks: list[Task]) -> float:
    """Share of the exact neighbours of items, drawn as histories hold them, that the index finds."""
    similar = toolbox.evidence.catalogue._similar
    asked = [task.sample.history[-1].item for task in tasks[:_NUM_RECALL_QUERIES]]
    rows = np.searchsorted(similar._items, asked)
    vectors = similar._embeddings_JD[similar._items] - similar._centre_D
    indexes = (similar._index(), ExactIndex(vectors))
    found, exact = (one.nearest(vectors[rows], _NUM_NEIGHBOURS, excluded_Q=rows)[0] for one in indexes)
    return recall(found, exact)


def timed(toolbox: Toolbox, tasks: list[Task], threads: int) -> None:
    """Print milliseconds of each tool: one thread at a time, then from a pool."""
    torch.set_num_threads(1)
    print(
        f"| tool | p50 ms | p99 ms | p50 ms, {threads} threads | p99 ms, {threads} threads |\n|---|---:|---:|---:|---:|"
    )
    with threadpool_limits(1):
        for name in (*(one for one in SUITES["all"] if one not in NEIGHBOURS), *NEIGHBOURS):
            questions = [(task, name, _arguments(name, toolbox, task)) for task in tasks]
            alone = [_milliseconds(toolbox, *question) for question in questions]
            toolbox._answers.clear()
            with ThreadPoolExecutor(threads) as pool:
                shared = list(pool.map(lambda question: _milliseconds(toolbox, *question), questions))
            toolbox._answers.clear()
            values = [np.percentile(one, at) for one in (alone, shared) for at in (50, 99)]
            print(f"| `{name}` | {' | '.join(f'{value:.3f}' for value in values)} |", flush=True)


def _milliseconds(toolbox: Toolbox, task: Task, name: str, arguments: dict[str, Any]) -> float:
    started = time.perf_counter()
    toolbox.call(task, name, arguments)
    return (time.perf_counter() - started) * 1000


if __name__ == "__main__":
    main()
