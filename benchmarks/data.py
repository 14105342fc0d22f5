"""From raw files to frozen candidates, time and memory: `python -m benchmarks.data --rows 1000000 --pandas 1000000`.

Each size: generate the files, run the two stages as DVC does (a process each, everything included), and, where asked
for, the same steps in pandas; compare what both accepted. Memory is the highest sum of PSS over the process and its
children, sampled every tenth of a second.
"""

import argparse
import os
import resource
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import polars as pl
import psutil
import yaml

from benchmarks import machine
from recops.tracking import prepare_store

ROOT = Path(__file__).resolve().parent.parent
SECONDS_BETWEEN_SAMPLES = 0.1


@dataclass(frozen=True)
class Cost:
    """What a process took: seconds of the clock, seconds of CPU (its children's too), and GB of memory at its peak."""

    seconds: float
    cpu_seconds: float
    gigabytes: float


def measure(command: list[str], root: Path) -> Cost:
    """Run a command to its end and return what it took; it must succeed."""
    environment = {**os.environ, "RECOPS_ROOT": str(root), "PYTHONPATH": str(ROOT)}
    started, cpu, peak = time.perf_counter(), _cpu_of_children(), 0
    with (root / "benchmark.log").open("ab") as log:
        process = subprocess.Popen(command, cwd=ROOT, env=environment, stdout=log, stderr=log)
        while process.poll() is None:
            peak = max(peak, _pss(process.pid))
            time.sleep(SECONDS_BETWEEN_SAMPLES)
    if process.returncode:
        raise SystemExit(f"{' '.join(command)} failed:\n{(root / 'benchmark.log').read_text()[-3000:]}")
    return Cost(time.perf_counter() - started, _cpu_of_children() - cpu, peak / 1e9)


def _cpu_of_children() -> float:
    """CPU seconds of every child that has ended: unlike the clock, they hardly depend on what runs beside."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def _pss(pid: int) -> int:
    try:
        family = [psutil.Process(pid)]
        family += family[0].children(recursive=True)
        return sum(one.memory_full_info().pss for one in family)
    except (psutil.NoSuchProcess, psutil.ZombieProcess):
        return 0  # it ended between two looks


def write_recipe(root: Path, files: Path) -> Path:
    """Write the recipe of the benchmark: the settings of electronics_small over the generated files.

    Further candidate lists for the report are left out: pandas draws none, and both sides take the same steps.
    """
    recipe = yaml.safe_load((ROOT / "recipes" / "electronics_small.yaml").read_text())
    recipe["validated_splits"]["candidates"]["further_negatives"] = []
    recipe["evaluation_reports"]["further_candidates"] = []
    source = {"kind": "amazon_reviews_2023", "folder": str(files), "reviews": "reviews.jsonl", "meta": "meta.jsonl"}
    path = root / "recipes" / "benchmark.yaml"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(yaml.safe_dump({**recipe, "name": "benchmark", "raw_data": {"source": source}}))
    return path


def difference(ours: Path, theirs: Path) -> str:
    """Return what differs between the two sides' accepted rows, slices and samples, `none` where nothing does."""
    tables = (
        ("interactions", ["user", "item", "timestamp", "rating", "slice"]),
        (
            "samples",
            ["user", "target", "timestamp", "slice", "history_start", "history_end", "target_is_warm"],
        ),
    )
    for name, columns in tables:
        one, two = (pl.read_parquet(folder / f"{name}.parquet", columns=columns) for folder in (ours, theirs))
        types = {column: pl.String if kind == pl.Enum else kind for column, kind in one.schema.items()}
        if not one.cast(types).equals(two.select(columns).cast(types)):
            return f"{name} differ"
    drawn, items = (pl.read_parquet(theirs / f"{name}.parquet") for name in ("samples", "interactions"))
    return _wrong_sets(drawn, items["item"].to_numpy())


def _wrong_sets(samples: pl.DataFrame, items: np.ndarray) -> str:
    """The other side's draw is another one: its sets must have the properties of ours."""
    columns = samples.select("target", "candidates", "history_start", "history_end")
    for target, candidates, start, end in columns.iter_rows():
        others = set(candidates) - {target}
        if len(others) != len(candidates) - 1 or others & set(items[start:end].tolist()):
            return "a candidate set of pandas is wrong"
    return "none"


def run(rows: int, folder: Path, *, with_pandas: bool) -> str:
    """Return one line of the table."""
    files, root = folder / "files", folder / "root"
    shutil.rmtree(folder, ignore_errors=True)
    root.mkdir(parents=True)
    measure([sys.executable, "-m", "benchmarks.amazon_2023_files", str(files), str(rows)], root)
    recipe = write_recipe(root, files)
    prepare_store(root, "benchmark")  # once per project, some ten seconds: no part of the stages
    stages = ("raw_data", "validated_splits")
    costs = [measure([sys.executable, "-m", "recops.stages", name, "--recipe", "benchmark"], root) for name in stages]
    seconds, peak = sum(cost.seconds for cost in costs), max(cost.gigabytes for cost in costs)
    cells = [f"{rows:,}", *(f"{cost.seconds:.0f}" for cost in costs), f"{seconds:.0f}", f"{rows / seconds:,.0f}"]
    our_cpu = sum(cost.cpu_seconds for cost in costs)
    cells += [*(f"{cost.gigabytes:.2f}" for cost in costs), f"{peak:.2f}", f"{our_cpu:.0f}"]
    if with_pandas:
        theirs = root / "pandas"
        cost = measure([sys.executable, "-m", "benchmarks.data_in_pandas", str(recipe), str(theirs)], root)
        parts = (root / "benchmark.log").read_text().strip().splitlines()[-1]
        differs = difference(root / "data" / "benchmark" / "validated_splits", theirs)
        cells += [f"{cost.seconds:.0f}", f"{cost.gigabytes:.2f}", f"{cost.seconds / seconds:.1f}"]
        cells += [f"{cost.cpu_seconds:.0f}", f"{cost.cpu_seconds / our_cpu:.1f}", differs, parts]
    shutil.rmtree(folder)
    return f"| {' | '.join(cells)} |"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rows", type=int, nargs="+", default=[100_000, 1_000_000, 10_000_000])
    parser.add_argument("--pandas", type=int, nargs="*", default=[], help="of these sizes, also in pandas")
    parser.add_argument(
        "--folder", type=Path, default=Path("/tmp/recops-benchmark-data"), help="emptied; 1 GB per 2.5 M rows"
    )
    arguments = parser.parse_args()
    print(f"{machine.described()}\n")
    heads = ["rows", "raw_data s", "validated_splits s", "together s", "rows/s", "GB", "GB", "peak GB", "CPU s"]
    heads += ["pandas s", "pandas GB", "times", "pandas CPU s", "CPU times", "difference", "seconds of pandas' parts"]
    print(f"| {' | '.join(heads)} |\n|{'---:|' * len(heads)}", flush=True)
    for rows in arguments.rows:
        print(run(rows, arguments.folder, with_pandas=rows in arguments.pandas), flush=True)


if __name__ == "__main__":
    main()
