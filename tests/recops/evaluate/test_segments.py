import numpy as np
import polars as pl

from recops.evaluate.segments import segment_tables, segments

FACTS = pl.DataFrame(
    {
        "user": [0, 0, 1, 2, 3],
        "warm": [True, True, True, True, True],
        "history_length": [1, 2, 3, 20, 21],
        "times_taken": [0, 1, 9, 10, 5000],
        "kind": ["content", None, "store", "content", None],
    }
)


def test_bounds_belong_to_the_group_below() -> None:
    found = {question: {name: mask.tolist() for name, mask in groups.items()} for question, groups in
             segments(FACTS).items()}  # fmt: skip
    yes, no = True, False
    assert found["Target"] == {"warm": [yes] * 5}, "a group of nobody is left out"
    assert found["Items in the history"] == {
        "1 or 2": [yes, yes, no, no, no],
        "3 to 5": [no, no, yes, no, no],
        "11 to 20": [no, no, no, yes, no],
        "21 or more": [no, no, no, no, yes],
    }
    assert found["Times the target was taken before"] == {
        "never": [yes, no, no, no, no],
        "1 to 9": [no, yes, yes, no, no],
        "10 to 99": [no, no, no, yes, no],
        "1,000 or more": [no, no, no, no, yes],
    }
    assert found["Planted kind of the user"] == {"content": [yes, no, no, yes, no], "store": [no, no, yes, no, no]}


def test_without_planted_kinds_the_question_is_left_out() -> None:
    facts = FACTS.with_columns(pl.lit(None, pl.String).alias("kind"))
    assert "Planted kind of the user" not in segments(facts)


def test_a_cell_is_the_mean_of_its_samples() -> None:
    tables = segment_tables(FACTS, {"s": np.array([0, 2, 0, 1, 0])}, draws=100, confidence=0.9, seed=1)
    cell = tables["Items in the history"]["1 or 2"]
    assert cell["num_samples"] == 2
    assert cell["systems"] == {"s": {"mean": 0.75, "low": 0.75, "high": 0.75}}, "one user: no other resample"
