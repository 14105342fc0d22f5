"""SASRec beside RecBole's: same rows, same leave-one-out, same settings, one evaluation for both.

`python -m benchmarks.recbole_compare --data FOLDER --recbole PYTHON`: FOLDER holds `reviews.jsonl.gz`, PYTHON is the
interpreter of an environment with RecBole (see `benchmarks/recbole_sasrec.py`).
"""

import argparse
from pathlib import Path

import numpy as np

from benchmarks.leave_one_out import read_leave_one_out
from benchmarks.recbole_fit import fit_recbole
from benchmarks.sasrec_curve import Curve, deterministic, fit_curve
from recops.config.sasrec_embeddings import SasrecConfig

MAX_LENGTH, MAX_EPOCHS, PATIENCE = 10, 40, 5
SETTINGS = {
    "width": 64,
    "num_layers": 2,
    "num_heads": 2,
    "max_length": MAX_LENGTH,
    "dropout": 0.5,
    "training_sequences": "prefixes",
    "loss": {"kind": "cross_entropy", "precision": "float32"},
    "batch_size": 512,
    "learning_rate": 0.002,
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "average_decay": 0.0,
    "max_epochs": MAX_EPOCHS,
    "patience_epochs": PATIENCE,
    "exact_search_max_users": 100_000,
}
RECBOLE_SETTINGS = {
    "MAX_ITEM_LIST_LENGTH": MAX_LENGTH,
    "hidden_size": 64,
    "inner_size": 256,
    "n_layers": 2,
    "n_heads": 2,
    "hidden_dropout_prob": 0.5,
    "attn_dropout_prob": 0.5,
    "learning_rate": 0.002,
    "train_batch_size": 512,
    "epochs": MAX_EPOCHS,
    "stopping_step": PATIENCE,
}
"""The same in RecBole's names; it always trains on prefixes."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recbole", type=Path, required=True, help="interpreter of RecBole's environment")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    asked = parser.parse_args()
    deterministic(num_threads=2)
    data = read_leave_one_out(asked.data, MAX_LENGTH)
    config = SasrecConfig.model_validate(SETTINGS)
    curves: dict[str, list[Curve]] = {"recops": [], "RecBole 1.2.1": []}
    for seed in asked.seeds:
        curves["recops"].append(fit_curve(data, config, seed))
        curves["RecBole 1.2.1"].append(
            fit_recbole(asked.recbole, data, seed, settings=RECBOLE_SETTINGS, minutes=float("inf"))
        )
    print(table(curves))


def table(curves: dict[str, list[Curve]]) -> str:
    """Return a row per fit, then mean and range of each side, as Markdown."""
    lines = [
        "| System | Seed | Best epoch | Seconds, whole fit | Valid NDCG@10 | Test NDCG@10 | Test HR@10 |",
        "|---|---|---|---|---|---|---|",
    ]
    for name, fits in curves.items():
        for fit in fits:
            values = " | ".join(f"{fit.best[key]:.4f}" for key in ("valid_ndcg", "test_ndcg", "test_hr"))
            lines.append(f"| {name} | {fit.seed} | {fit.best['epoch']} | {fit.points[-1]['seconds']:.0f} | {values} |")
    for name, fits in curves.items():
        tests = [fit.best["test_ndcg"] for fit in fits]
        spread = f"{np.mean(tests):.4f} ({min(tests):.4f} to {max(tests):.4f})"
        lines.append(f"| {name} | all | | | | {spread} | |")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
