import numpy as np
import pytest

from recops.evaluate.baseline_choice import against_each
from recops.evaluate.paired import paired_table
from recops.evaluate.statistics import holm

DRAWN = {"draws": 500, "confidence": 0.95, "seed": 3}
USERS = np.arange(40) // 2
RANKS = {name: np.random.default_rng(number).integers(0, 6, 40) for number, name in enumerate("abc")}
RANKS["a"] = np.zeros(40, dtype=np.int64)


def test_every_choice_is_the_paired_test_against_it_corrected_as_a_family_of_its_own() -> None:
    tables = against_each(RANKS, USERS, **DRAWN)
    assert list(tables) == list(RANKS)
    for chosen, rows in tables.items():
        pairs = [(name, chosen, "reference") for name in RANKS if name != chosen]
        wanted = paired_table(RANKS, USERS, pairs, **DRAWN)  # type: ignore[arg-type]
        assert list(rows) == [one.system for one in wanted]
        for one in wanted:
            found = rows[one.system]
            assert (found["mean"], found["low"], found["high"]) == pytest.approx((one.mean, one.low, one.high))
            assert (found["p_value"], found["p_holm"]) == pytest.approx((one.p_value, one.p_holm))
        assert [row["p_holm"] for row in rows.values()] == holm([row["p_value"] for row in rows.values()])


def test_a_choice_the_other_way_round_has_the_other_sign() -> None:
    tables = against_each(RANKS, USERS, **DRAWN)
    assert tables["a"]["b"]["mean"] == -tables["b"]["a"]["mean"] < 0
    assert tables["a"]["b"]["low"] == pytest.approx(-tables["b"]["a"]["high"])
