"""The field's usual SASRec benchmark: Amazon 2014 Beauty, leave-one-out, full catalogue, seen items excluded.

`python -m benchmarks.sasrec_beauty --data FOLDER` prints curve and table; FOLDER holds `reviews.jsonl.gz`.
Settings were chosen on valid with seed 0 (docs/experiments.md).
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks.leave_one_out import read_leave_one_out
from benchmarks.sasrec_curve import Curve, deterministic, facts, fit_curve
from recops.config.sasrec_embeddings import SasrecConfig

SETTINGS = {
    "width": 64,
    "num_layers": 2,
    "num_heads": 2,
    "max_length": 50,
    "dropout": 0.4,
    "loss": {"kind": "cross_entropy", "precision": "bfloat16"},
    "batch_size": 128,
    "learning_rate": 0.003,
    "warmup_steps": 100,
    "weight_decay": 0.0,
    "average_decay": 0.0,
    "max_epochs": 20,
    "patience_epochs": 3,
    "exact_search_max_users": 100_000,
}
TARGET_NDCG = 0.039


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="other settings, to try them")
    parser.add_argument("--json", type=Path, help="write the curves here")
    asked = parser.parse_args()
    changes = {name: json.loads(value) for name, value in (each.split("=", 1) for each in asked.set)}
    config = SasrecConfig.model_validate({**SETTINGS, **changes})
    deterministic(asked.threads)
    data = read_leave_one_out(asked.data, config.max_length)
    print(f"{len(data.valid.targets)} users, {data.fit.num_items} items, {len(data.fit)} rows; {facts()}", flush=True)
    curves = [fit_curve(data, config, seed) for seed in asked.seeds]
    if asked.json:
        asked.json.write_text(json.dumps([asdict(curve) for curve in curves], indent=1), encoding="utf-8")
    print(table(curves))


def table(curves: list[Curve]) -> str:
    """Return a row per seed and the mean, as Markdown."""
    lines = [
        f"| Seed | Best epoch | Seconds to valid {TARGET_NDCG} | Valid NDCG@10 | Test NDCG@10 | Test HR@10 | Users/s |",
        "|---|---|---|---|---|---|---|",
    ]
    for curve in curves:
        reached, best = curve.seconds_to(TARGET_NDCG), curve.best
        seconds = f"{reached:.0f}" if reached is not None else "not reached"
        speed = np.median([point["users_per_second"] for point in curve.points])
        shown = " | ".join(f"{best[name]:.4f}" for name in ("valid_ndcg", "test_ndcg", "test_hr"))
        lines.append(f"| {curve.seed} | {best['epoch']:.0f} | {seconds} | {shown} | {speed:,.0f} |")
    means = " | ".join(f"{np.mean([c.best[n] for c in curves]):.4f}" for n in ("valid_ndcg", "test_ndcg", "test_hr"))
    lines.append(f"| mean | | | {means} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
