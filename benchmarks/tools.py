"""What a call of each tool costs in a large shop: `python -m benchmarks.tools --items 1000000 --users 1000000`.

The shop is written once (some 2 GB below `--folder`) and opened as a stage opens it. A call is timed on samples that
nobody has asked about, one thread, after `prepare`, as the rollout does; then a pool of threads asks the same.
"""

import argparse
import sys
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import psutil
import torch
from threadpoolctl import threadpool_limits

from benchmarks import machine
from benchmarks.tools_shop import write_large_shop
from recops import environment
from recops.config.agent import SUITES
from recops.config.recipe import load_recipe
from recops.paths import Layout, project_root
from recops.records import Task, label
from recops.retrieval.embeddings import load_user_states
from recops.retrieval.index import ExactIndex, recall
from recops.retrieval.user_index import user_index_recall
from recops.tools.toolbox import Toolbox

NEIGHBOURS = (
    "get_similar_items",
    "get_similar_users",
    "get_related_items",
    "rank_by_taken_together",
    "search_catalog",
)
"""Tools that look through the catalogue or through other users; the others read candidates and the own history."""
_NUM_RECALL_QUERIES, _NUM_NEIGHBOURS = 500, 10


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, default=1_000_000)
    parser.add_argument("--users", type=int, default=1_000_000)
    parser.add_argument("--calls", type=int, default=2_000, help="of each tool")
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--turn-ms", type=float, help="how often threads take turns; as in every process of recops")
    parser.add_argument("--folder", type=Path, default=Path("/tmp/recops-benchmark-tools"))
    arguments = parser.parse_args()
    environment.prepare()
    if arguments.turn_ms is not None:
        sys.setswitchinterval(arguments.turn_ms / 1000)
    root = arguments.folder / f"{arguments.items}-{arguments.users}"
    folders = (root / "splits", root / "sasrec")
    if not root.is_dir():
        staged = root.with_suffix(".part")
        write_large_shop(staged, arguments.items, arguments.users)
        staged.rename(root)
    print(f"{machine.described()}\n", flush=True)
    agent = load_recipe(Layout(project_root(), "embedded").recipe_file).agent
    agent = agent.model_copy(update={"tools": SUITES["all"], "tool_fields": ("title", "category", "price", "rating")})
    print("| part | s | MB |\n|---|---:|---:|")
    toolbox = built("Parquet and SASRec", lambda: Toolbox.load(*folders, agent, 7))
    built("index of users", toolbox.evidence._states._index)
    # Users were drawn at random, so that the first samples are as good as any; a block of states has 256 of them.
    first, *tasks = (_task(toolbox, int(one)) for one in toolbox.store.sample_ids("test")[: arguments.calls + 1])
    build_parts(toolbox, first)
    started = time.perf_counter()
    toolbox.evidence.prepare(task.sample.sample_id for task in tasks)
    each = (time.perf_counter() - started) / len(tasks) * 1000
    print(f"\nState and similar users of a sample, in batches: {each:.2f} ms\n", flush=True)
    print_item_recall(toolbox, tasks)
    timed(toolbox, tasks, arguments.threads)
    states = load_user_states(folders[1], toolbox.store.items["item_id"], splits=folders[0])
    print(f"\nRecall of the index of users at 100: {user_index_recall(states, 0):.3f}", flush=True)


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


def print_item_recall(toolbox: Toolbox, tasks: list[Task]) -> None:
    """Print, by the share of lists that are probed, what share of the exact neighbours is found, and how fast."""
    similar = toolbox.evidence.catalogue._similar
    rows = np.searchsorted(similar._items, [task.sample.history[-1].item for task in tasks[:_NUM_RECALL_QUERIES]])
    vectors = similar._embeddings_JD[similar._items] - similar._centre_D
    exact = ExactIndex(vectors).nearest(vectors[rows], _NUM_NEIGHBOURS, excluded_Q=rows)[0]
    index = similar._index()
    if isinstance(index, ExactIndex):
        print("The index of items is exact.\n")
        return
    in_use = index._index.nprobe
    print(f"| lists probed, of {index._index.nlist} | recall at {_NUM_NEIGHBOURS} | ms |\n|---:|---:|---:|")
    for probed in (in_use // 10, in_use // 4, in_use // 2, in_use):
        index._index.nprobe, started = probed, time.perf_counter()
        with threadpool_limits(1):
            found = [index.nearest(vectors[[row]], _NUM_NEIGHBOURS, excluded_Q=np.array([row]))[0][0] for row in rows]
        each = (time.perf_counter() - started) / len(rows) * 1000
        print(f"| {probed} | {recall(np.asarray(found), exact):.3f} | {each:.2f} |", flush=True)
    print()


def timed(toolbox: Toolbox, tasks: list[Task], threads: int) -> None:
    """Print milliseconds of each tool: one thread by the clock and in processor time, then from a pool by the clock.

    Processor time is what the call costs; the clock also counts what else the machine does.
    """
    torch.set_num_threads(1)
    heads = ["p50 ms", "p99 ms", "p50 ms, processor", "p99 ms, processor", f"p50 ms, {threads} threads"]
    heads += [f"p99 ms, {threads} threads", f"calls/s, {threads} threads"]
    print(f"| tool | {' | '.join(heads)} |\n|---|{'---:|' * len(heads)}")
    with threadpool_limits(1):
        for name in (*(one for one in SUITES["all"] if one not in NEIGHBOURS), *NEIGHBOURS):
            questions = [(task, name, _arguments(name, toolbox, task)) for task in tasks]
            alone = _of_each(toolbox, questions)
            toolbox._answers.clear()
            started = time.perf_counter()
            with ThreadPoolExecutor(threads) as pool:
                parts = pool.map(partial(_of_each, toolbox), [questions[one::threads] for one in range(threads)])
                shared = np.concatenate(list(parts))
            rate = len(questions) / (time.perf_counter() - started)
            toolbox._answers.clear()
            values = [np.percentile(one, at) for one in (*alone.T, shared[:, 0]) for at in (50, 99)]
            print(f"| `{name}` | {' | '.join(f'{value:.3f}' for value in values)} | {rate:,.0f} |", flush=True)


def _of_each(toolbox: Toolbox, questions: list[tuple[Task, str, dict[str, Any]]]) -> np.ndarray:
    return np.asarray([_milliseconds(toolbox, *question) for question in questions])


def _milliseconds(toolbox: Toolbox, task: Task, name: str, arguments: dict[str, Any]) -> tuple[float, float]:
    """What a call takes by the clock, and of the processor."""
    started, worked = time.perf_counter(), time.thread_time()
    toolbox.call(task, name, arguments)
    return (time.perf_counter() - started) * 1000, (time.thread_time() - worked) * 1000


if __name__ == "__main__":
    main()
