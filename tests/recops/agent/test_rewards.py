import numpy as np
import pytest

from recops.agent.rewards import reward_terms
from recops.metrics import ndcg_at_k
from recops.records import Answer, AnswerError, Sample, Task
from tests.recops.agent.world import WEIGHTS

ITEMS = tuple(range(1, 21))
SAMPLE = Sample(0, 0, 5, 0, "policy_train", ITEMS, (), True)
TASK = Task(SAMPLE, ITEMS, "rank")


def ranked(rank: int) -> Answer:
    """An answer with ten of twenty items, the target at a 0-based rank; absent from rank 10 on."""
    others = [item for item in ITEMS if item != SAMPLE.target]
    return Answer(tuple([*others[:rank], SAMPLE.target, *others[rank:]][:10]), None)


def reward(answer: Answer, num_calls: int = 0, task: Task = TASK, **weights: float) -> float:
    return sum(reward_terms(task, answer, num_calls, WEIGHTS.model_copy(update=weights)).values())


@pytest.mark.parametrize(("num_calls", "expected"), [(0, -0.0228), (1, -0.0178)])
def test_a_random_valid_ranking_is_worth_what_the_method_says(num_calls: int, expected: float) -> None:
    mean = np.mean([reward(ranked(rank), num_calls) for rank in range(20)])

    assert mean == pytest.approx(expected, abs=5e-5)


def test_the_ranking_term_is_the_metric_of_the_report() -> None:
    assert [reward(ranked(rank)) for rank in range(10)] == ndcg_at_k(np.arange(10), 10).tolist()


def test_absent_and_invalid_answers_cost_what_the_recipe_says() -> None:
    assert reward(ranked(12)) == -0.5
    assert reward(Answer((), AnswerError.TRUNCATED), 3) == -1.0


def test_the_tool_bonus_needs_a_call_and_the_first_place() -> None:
    assert reward(ranked(0), 1) == pytest.approx(1.1)
    assert reward(ranked(0), 0) == 1.0
    assert reward(ranked(1), 1) == reward(ranked(1), 0)


def test_each_call_costs_its_weight() -> None:
    assert reward(ranked(2), 3, call_cost=0.02) == pytest.approx(reward(ranked(2)) - 0.06)


@pytest.mark.parametrize("direction", ["more", "less"])
def test_a_pair_is_worth_one_or_nothing(direction: str) -> None:
    task = Task(SAMPLE, (5, 9), direction)  # type: ignore[arg-type]
    right, wrong = (5, 9) if direction == "more" else (9, 5)

    assert reward(Answer((right,), None), 2, task) == 1.0
    assert reward(Answer((wrong,), None), 2, task) == 0.0
    assert reward(Answer((), AnswerError.NO_ANSWER), 2, task) == -1.0


@pytest.mark.parametrize("weight", ["ndcg", "absent", "invalid", "tool_bonus", "call_cost"])
def test_every_weight_changes_some_reward(weight: str) -> None:
    answers = [*map(ranked, range(20)), Answer((), AnswerError.NO_ANSWER)]

    assert [reward(one, 1, **{weight: 7.0}) for one in answers] != [reward(one, 1) for one in answers]
