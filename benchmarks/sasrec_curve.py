"""Fit SASRec with the library's own functions under leave-one-out, and keep the curve.

Time counts training and the evaluation on valid, epoch by epoch; the evaluation on test, at each best epoch, does not
count, for nothing is decided by it.
"""

import time
from dataclasses import dataclass, field
from typing import Any

import torch

from benchmarks.leave_one_out import LeaveOneOut
from recops.config.sasrec_embeddings import SasrecConfig
from recops.metrics import hit_rate_at_k, ndcg_at_k
from recops.retrieval.fit_data import HeldOut
from recops.retrieval.ranking import held_out_ranks
from recops.retrieval.sasrec import SasRec
from recops.retrieval.training import Training


@dataclass
class Curve:
    """One fit: a point per epoch, and valid and test at the epoch that is best on valid."""

    seed: int
    points: list[dict[str, float]] = field(default_factory=list)
    best: dict[str, float] = field(default_factory=dict)

    def seconds_to(self, ndcg: float) -> float | None:
        """Return after how many seconds valid NDCG@10 first reached a value."""
        return next((point["seconds"] for point in self.points if point["valid_ndcg"] >= ndcg), None)


def fit_curve(data: LeaveOneOut, config: SasrecConfig, seed: int) -> Curve:
    """Fit until `patience_epochs` have brought nothing on valid, or `max_epochs` are done."""
    curve, seconds = Curve(seed), 0.0
    training = Training(data.fit, config, seed)
    for epoch in range(1, config.max_epochs + 1):
        started = time.monotonic()
        loss = training.run_epoch(epoch, f"SASRec, seed {seed}")
        evaluated = time.monotonic()
        valid = metrics(training.model, data.valid)
        seconds += time.monotonic() - started
        speed = len(data.valid.targets) / (time.monotonic() - evaluated)
        point = {
            "epoch": epoch,
            "seconds": seconds,
            "loss": loss,
            "valid_ndcg": valid["ndcg"],
            "users_per_second": speed,
        }
        curve.points.append(point)
        print(" ".join(f"{name}={value:.4f}" for name, value in point.items()), flush=True)
        if valid["ndcg"] > curve.best.get("valid_ndcg", -1.0):
            test = metrics(training.model, data.test)
            curve.best = {"epoch": epoch, "valid_ndcg": valid["ndcg"], "valid_hr": valid["hr"]}
            curve.best |= {"test_ndcg": test["ndcg"], "test_hr": test["hr"]}
            print("best so far:", " ".join(f"{name}={value:.4f}" for name, value in curve.best.items()), flush=True)
        elif epoch - curve.best["epoch"] >= config.patience_epochs:
            break
    return curve


def metrics(model: SasRec, held_out: HeldOut) -> dict[str, float]:
    """Return NDCG@10 and HR@10 over the full catalogue."""
    ranks = held_out_ranks(model, held_out)
    return {"ndcg": float(ndcg_at_k(ranks, 10).mean()), "hr": float(hit_rate_at_k(ranks, 10).mean())}


def deterministic(num_threads: int) -> None:
    """Use so many threads, and only what gives equal results for equal seeds."""
    torch.set_num_threads(num_threads)
    torch.use_deterministic_algorithms(True)


def facts() -> dict[str, Any]:
    """Return what the numbers were measured with."""
    return {
        "torch": torch.__version__,
        "threads": torch.get_num_threads(),
        "capability": torch.backends.cpu.get_cpu_capability(),
    }
