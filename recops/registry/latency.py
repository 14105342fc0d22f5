"""How long one request takes: a user and the candidates of one of the user's frozen samples, one after the other."""

import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from recops.data.samples import SampleStore
from recops.seeds import sub_seed


@dataclass(frozen=True)
class Latency:
    """Seconds that half of the requests stayed below, and nineteen of twenty."""

    p50_seconds: float
    p95_seconds: float
    num_requests: int


def typical_requests(store: SampleStore, count: int, seed: int) -> list[dict[str, Any]]:
    """Return rows of the served model's input: users and candidates of drawn test samples, fewer where there are."""
    generator = np.random.default_rng(sub_seed(seed, "requests"))
    drawn = generator.permutation(store.sample_ids("test"))[:count]
    return [_request(store, int(sample_id)) for sample_id in drawn]


def measure_latency(predict: Callable[[Any], Any], requests: Sequence[dict[str, Any]]) -> Latency:
    """Return how long each of the requests takes; the first one is answered once before, to warm up."""
    import pandas as pd

    frames = [pd.DataFrame([request]) for request in requests]
    predict(frames[0])
    seconds = []
    for frame in frames:
        began = time.perf_counter()
        predict(frame)
        seconds.append(time.perf_counter() - began)
    p50, p95 = np.quantile(seconds, [0.5, 0.95])
    return Latency(float(p50), float(p95), len(seconds))


def _request(store: SampleStore, sample_id: int) -> dict[str, Any]:
    sample = store.sample(sample_id)
    ids = store.items["item_id"]
    return {
        "user_id": str(store.users["user_id"][sample.user]),
        "candidates": [str(ids[item - 1]) for item in sample.candidates],
        "request": "",
    }
