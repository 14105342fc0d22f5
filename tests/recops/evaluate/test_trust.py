import numpy as np
import pytest

from recops.evaluate.trust import trust_by_agent
from recops.records import Answer, AnswerError, Call, Episode, Sample, Task

ITEMS = (11, 12, 13, 14)
DRAWN = {"draws": 200, "confidence": 0.9, "seed": 1}


def episode(first: int | None, tool_first: str, target: int, *, tool: str = "rank_by_next_item") -> Episode:
    """An answer that begins with an item, after a tool whose order begins with a letter."""
    task = Task(Sample(0, 0, target, 0, "test", ITEMS, (), True), ITEMS, "rank")
    order = " ".join([tool_first, *(one for one in "ABCD" if one != tool_first)])
    ranking = () if first is None else (first, *(item for item in ITEMS if item != first))
    answer = Answer(ranking, AnswerError.NO_ANSWER if first is None else None)
    return Episode(task, (), (Call(tool, {}, f"Order: {order}", failed=False),), answer, {}, 1)


def test_shares_are_those_of_the_answers_that_followed_and_of_the_others() -> None:
    played = [
        episode(11, "A", 11),
        episode(11, "A", 11),
        episode(11, "A", 12),
        episode(12, "A", 11),
        episode(12, "A", 13),
        episode(None, "A", 11),
    ]
    found = trust_by_agent({"agent": played}, np.arange(6), ["rank_by_next_item", "other"], **DRAWN)
    trust = found["agent"]["rank_by_next_item"]
    assert list(found["agent"]) == ["rank_by_next_item"]
    assert trust["num_orders"] == 5, "an invalid answer follows nobody"
    means = {name: share["mean"] for name, share in trust.items() if name != "num_orders"}
    assert means == pytest.approx({"followed": 3 / 5, "right_followed": 2 / 3, "right_ignored": 1 / 2})
    assert all(one["low"] <= one["mean"] <= one["high"] for name, one in trust.items() if name != "num_orders")


def test_a_share_of_nothing_is_left_out() -> None:
    played = [episode(11, "A", 11), episode(11, "A", 12)]
    trust = trust_by_agent({"agent": played}, np.arange(2), ["rank_by_next_item"], **DRAWN)["agent"]
    assert set(trust["rank_by_next_item"]) == {"num_orders", "followed", "right_followed"}
    assert trust_by_agent({"agent": [episode(None, "A", 11)]}, np.arange(1), ["x"], **DRAWN) == {"agent": {}}


def test_the_first_order_counts_and_an_answer_without_one_does_not() -> None:
    task = episode(12, "B", 12)
    calls = (Call("t", {}, "no order", failed=False), Call("t", {}, "Order: B A C D", failed=False), *task.calls)
    asked = Episode(task.task, (), calls, task.answer, {}, 1)
    trust = trust_by_agent({"agent": [asked]}, np.arange(1), ["t"], **DRAWN)["agent"]["t"]
    assert (trust["followed"]["mean"], trust["right_followed"]["mean"]) == (1.0, 1.0)
