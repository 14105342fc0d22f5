import numpy as np
import pytest

from recops.evaluate.ranking import metric_tables
from recops.evaluate.statistics import bootstrap_interval
from recops.metrics import ABSENT, METRICS

DRAWN = {"draws": 300, "confidence": 0.9, "seed": 4}


def test_table_holds_every_metric_of_the_reward_with_its_interval() -> None:
    ranks = np.array([0, 3, 11, ABSENT, 7, 0, 1])
    users = np.array([0, 0, 1, 1, 2, 3, 3])
    tables = metric_tables({"one": ranks, "other": ranks[::-1]}, users, **DRAWN)
    assert list(tables) == ["one", "other"]
    assert tables["other"] != tables["one"]
    table = tables["one"]
    assert list(table) == list(METRICS)
    for name, metric in METRICS.items():
        interval = bootstrap_interval(metric(ranks), users, **DRAWN)
        assert table[name] == pytest.approx({"mean": interval.mean, "low": interval.low, "high": interval.high})
        assert table[name]["low"] <= table[name]["mean"] <= table[name]["high"]


def test_no_sample_is_refused() -> None:
    with pytest.raises(ValueError, match="not none"):
        metric_tables({"one": np.zeros(0, dtype=np.int64)}, np.zeros(0, dtype=np.int64), **DRAWN)
