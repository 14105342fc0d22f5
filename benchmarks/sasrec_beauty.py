"""The field's usual SASRec benchmark: Amazon 2014 Beauty, leave-one-out, full catalogue, seen items excluded.

`python -m benchmarks.sasrec_beauty --data FOLDER` prints curve and table; FOLDER holds `reviews.jsonl.gz`. With
`--recbole PYTHON --minutes M` the first seed is also fitted by RecBole (see `benchmarks/recbole_sasrec.py`), by its own
settings, for that long at most. Our settings were chosen on valid with seed 0 (docs/experiments.md).
"""

import argparse
import json
from dataclasses import asdict
from pathlib import Path

import numpy as np

from benchmarks import machine
from benchmarks.leave_one_out import read_leave_one_out
from benchmarks.recbole_fit import fit_recbole
from benchmarks.sasrec_curve import Curve, deterministic, facts, fit_curve
from recops.config.sasrec_embeddings import SasrecConfig

SETTINGS = {
    "width": 64,
    "num_layers": 2,
    "num_heads": 2,
    "max_length": 50,
    "dropout": 0.4,
    "training_sequences": "prefixes",
    "loss": {"kind": "cross_entropy", "precision": "bfloat16"},
    "batch_size": 512,
    "learning_rate": 0.002,
    "warmup_steps": 100,
    "weight_decay": 0.0,
    "average_decay": 0.0,
    "max_epochs": 20,
    "patience_epochs": 3,
    "exact_search_max_users": 100_000,
}
RECBOLE_SETTINGS = {"MAX_ITEM_LIST_LENGTH": 50, "hidden_size": 64, "inner_size": 256, "n_layers": 2, "n_heads": 2}
"""The same size; dropout, learning rate, batch and augmentation as RecBole sets them when nobody asks."""
TARGET_NDCG = 0.039


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    parser.add_argument("--threads", type=int, default=2)
    parser.add_argument("--set", nargs="*", default=[], metavar="NAME=JSON", help="other settings, to try them")
    parser.add_argument("--json", type=Path, help="write the curves here")
    parser.add_argument("--recbole", type=Path, help="interpreter of RecBole's environment")
    parser.add_argument("--minutes", type=float, default=90, help="RecBole starts no epoch after so long")
    asked = parser.parse_args()
    changes = {name: json.loads(value) for name, value in (each.split("=", 1) for each in asked.set)}
    config = SasrecConfig.model_validate({**SETTINGS, **changes})
    deterministic(asked.threads)
    data = read_leave_one_out(asked.data, config.max_length)
    print(machine.described())
    print(f"{len(data.valid.targets)} users, {data.fit.num_items} items, {len(data.fit)} rows; {facts()}", flush=True)
    fits = [("recops", fit_curve(data, config, seed)) for seed in asked.seeds]
    if asked.recbole:
        settings = {**RECBOLE_SETTINGS, "epochs": 1000, "stopping_step": config.patience_epochs}
        theirs = fit_recbole(asked.recbole, data, asked.seeds[0], settings=settings, minutes=asked.minutes)
        fits.append(("RecBole", theirs))
    if asked.json:
        curves = [{"system": name, **asdict(curve)} for name, curve in fits]
        asked.json.write_text(json.dumps(curves, indent=1), encoding="utf-8")
    print(table(fits))


def table(fits: list[tuple[str, Curve]]) -> str:
    """Return a row per fit and the mean of ours, as Markdown."""
    lines = [
        f"| System | Seed | Seconds, all epochs | Best epoch | Seconds to valid {TARGET_NDCG} "
        "| Valid NDCG@10 | Test NDCG@10 | Test HR@10 | Users/s |",
        "|---|---|---|---|---|---|---|---|---|",
    ]
    for name, curve in fits:
        reached, best = curve.seconds_to(TARGET_NDCG), curve.best
        seconds = f"{reached:.0f}" if reached is not None else "not reached"
        speed = np.median([point["users_per_second"] for point in curve.points])
        shown = " | ".join(f"{best[key]:.4f}" for key in ("valid_ndcg", "test_ndcg", "test_hr"))
        row = f"{name} | {curve.seed} | {curve.points[-1]['seconds']:.0f} | {best['epoch']:.0f}"
        lines.append(f"| {row} | {seconds} | {shown} | {speed:,.0f} |")
    ours = [curve.best for name, curve in fits if name == "recops"]
    means = " | ".join(f"{np.mean([best[key] for best in ours]):.4f}" for key in ("valid_ndcg", "test_ndcg", "test_hr"))
    lines.append(f"| recops | mean | | | | {means} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
