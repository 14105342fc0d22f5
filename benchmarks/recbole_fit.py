"""Fit RecBole's SASRec in its own environment and rank its epochs by our evaluation: a curve like that of ours."""

import json
import subprocess
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import torch

from benchmarks.leave_one_out import LeaveOneOut
from benchmarks.sasrec_curve import Curve
from recops.metrics import hit_rate_at_k, ndcg_at_k
from recops.retrieval.ranking import ranks_of_states


def fit_recbole(python: Path, data: LeaveOneOut, seed: int, *, settings: dict[str, Any], minutes: float) -> Curve:
    """Return RecBole's curve: NDCG@10 by our evaluation, seconds of its training and of its own evaluation on valid.

    Args:
        python: interpreter of an environment with RecBole (see `benchmarks/recbole_sasrec.py`).
        data: the same rows and targets that ours is fitted on.
        seed: of weights, order and dropout.
        settings: by RecBole's names.
        minutes: start no epoch after so long.
    """
    with tempfile.TemporaryDirectory() as folder:
        _write_atomic_file(Path(folder), data)
        script = Path(__file__).with_name("recbole_sasrec.py")
        limits = ["--seed", str(seed), "--minutes", str(minutes), "--settings", json.dumps(settings)]
        subprocess.run([python, script, folder, *limits], check=True, cwd=folder)
        curve = Curve(seed)
        for epoch, path in enumerate(sorted(Path(folder).glob("epoch_*.npz")), start=1):
            _add_epoch(curve, epoch, np.load(path, allow_pickle=False), data)
    return curve


def _add_epoch(curve: Curve, epoch: int, written: Any, data: LeaveOneOut) -> None:
    embeddings, known = torch.from_numpy(written["embeddings"]), torch.from_numpy(data.fit.known_items())
    valid, test = (
        ranks_of_states(written[name], embeddings, known, held_out)
        for name, held_out in (("valid", data.valid), ("test", data.test))
    )
    point = {
        "epoch": epoch,
        "seconds": float(written["seconds"]),
        "valid_ndcg": float(ndcg_at_k(valid, 10).mean()),
        "users_per_second": len(data.valid.targets) / float(written["valid_seconds"]),
    }
    curve.points.append(point)
    print("RecBole:", " ".join(f"{name}={value:.4f}" for name, value in point.items()), flush=True)
    if point["valid_ndcg"] > curve.best.get("valid_ndcg", -1.0):
        curve.best = {"epoch": epoch, "valid_ndcg": point["valid_ndcg"]}
        curve.best |= {"valid_hr": float(hit_rate_at_k(valid, 10).mean())}
        curve.best |= {"test_ndcg": float(ndcg_at_k(test, 10).mean()), "test_hr": float(hit_rate_at_k(test, 10).mean())}


def _write_atomic_file(folder: Path, data: LeaveOneOut) -> None:
    """Write RecBole's `rows/rows.inter`: everything of each user, the place in the sequence as the time."""
    (folder / "rows").mkdir()
    with (folder / "rows" / "rows.inter").open("w", encoding="utf-8") as file:
        file.write("user_id:token\titem_id:token\ttimestamp:float\n")
        for user, (start, length) in enumerate(zip(data.test.seen.starts, data.test.seen.lengths, strict=True)):
            items = [*data.test.seen.items[start : start + length], data.test.targets[user]]
            file.writelines(f"{user}\t{item}\t{place}\n" for place, item in enumerate(items))
