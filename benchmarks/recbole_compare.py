"""SASRec beside RecBole's: same rows, same leave-one-out, same settings, one evaluation for both.

`python -m benchmarks.recbole_compare --data FOLDER --recbole PYTHON`: FOLDER holds `reviews.jsonl.gz`, PYTHON is the
interpreter of an environment with RecBole (see `benchmarks/recbole_sasrec.py`).
"""

import argparse
import subprocess
import tempfile
from pathlib import Path

import numpy as np
import torch

from benchmarks.leave_one_out import LeaveOneOut, read_leave_one_out
from benchmarks.sasrec_curve import deterministic, fit_curve
from recops.config.sasrec_embeddings import SasrecConfig
from recops.metrics import hit_rate_at_k, ndcg_at_k
from recops.retrieval.ranking import ranks_of_states

MAX_LENGTH, MAX_EPOCHS = 10, 20
SETTINGS = {
    "width": 64,
    "num_layers": 2,
    "num_heads": 2,
    "max_length": MAX_LENGTH,
    "dropout": 0.5,
    "loss": {"kind": "cross_entropy", "precision": "float32"},
    "batch_size": 128,
    "learning_rate": 0.002,
    "warmup_steps": 0,
    "weight_decay": 0.0,
    "average_decay": 0.0,
    "max_epochs": MAX_EPOCHS,
    "patience_epochs": 3,
    "exact_search_max_users": 100_000,
}
"""As in `recbole_sasrec.settings`; its batch of 512 prefixes is about 128 sequences."""


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--data", type=Path, required=True)
    parser.add_argument("--recbole", type=Path, required=True, help="interpreter of RecBole's environment")
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    asked = parser.parse_args()
    deterministic(num_threads=2)
    data = read_leave_one_out(asked.data, MAX_LENGTH)
    config = SasrecConfig.model_validate(SETTINGS)
    lines = ["| System | Seed | Seconds | Valid NDCG@10 | Test NDCG@10 | Test HR@10 |", "|---|---|---|---|---|---|"]
    tests: dict[str, list[float]] = {"recops": [], "RecBole 1.2.1": []}
    for seed in asked.seeds:
        curve = fit_curve(data, config, seed)
        ours = (curve.points[-1]["seconds"], *(curve.best[name] for name in ("valid_ndcg", "test_ndcg", "test_hr")))
        theirs = run_recbole(asked.recbole, data, seed)
        for name, (seconds, valid, test, hit) in (("recops", ours), ("RecBole 1.2.1", theirs)):
            tests[name].append(test)
            lines.append(f"| {name} | {seed} | {seconds:.0f} | {valid:.4f} | {test:.4f} | {hit:.4f} |")
            print(lines[-1], flush=True)
    for name, values in tests.items():
        spread = f"{np.mean(values):.4f} ({min(values):.4f} to {max(values):.4f})"
        lines.append(f"| {name} | all | | | {spread} | |")
    print("\n".join(lines))


def run_recbole(python: Path, data: LeaveOneOut, seed: int) -> tuple[float, float, float, float]:
    """Fit RecBole's and return seconds, valid NDCG@10, test NDCG@10 and test HR@10 by our evaluation."""
    with tempfile.TemporaryDirectory() as folder:
        write_atomic_file(Path(folder), data)
        script = Path(__file__).with_name("recbole_sasrec.py")
        limits = ["--max-length", str(MAX_LENGTH), "--epochs", str(MAX_EPOCHS)]
        subprocess.run([python, script, folder, "--seed", str(seed), *limits], check=True, cwd=folder)
        written = np.load(Path(folder) / f"recbole_{seed}.npz")
        embeddings, known = torch.from_numpy(written["embeddings"]), torch.from_numpy(data.fit.known_items())
        valid = ranks_of_states(written["valid"], embeddings, known, data.valid)
        test = ranks_of_states(written["test"], embeddings, known, data.test)
        seconds = float(written["seconds"])
    hit = float(hit_rate_at_k(test, 10).mean())
    return seconds, float(ndcg_at_k(valid, 10).mean()), float(ndcg_at_k(test, 10).mean()), hit


def write_atomic_file(folder: Path, data: LeaveOneOut) -> None:
    """Write RecBole's `rows/rows.inter`: everything of each user, the place in the sequence as the time."""
    (folder / "rows").mkdir()
    with (folder / "rows" / "rows.inter").open("w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for user, (start, length) in enumerate(zip(data.test.seen.starts, data.test.seen.lengths, strict=True)):
            items = [*data.test.seen.items[start : start + length], data.test.targets[user]]
            file.writelines(f"{user}\t{item}\t{place}\n" for place, item in enumerate(items))


if __name__ == "__main__":
    main()
