import numpy as np
import polars as pl
import pytest

from recops.metrics import ABSENT
from recops.records import Answer, AnswerError, Episode, Task
from recops.tools.toolbox import Toolbox
from recops.train.pairs import violation
from recops.train.ppr import pair_tasks, split_pairs
from tests.recops.agent.world import all_tasks


@pytest.fixture
def task(toolbox: Toolbox) -> Task:
    return all_tasks(toolbox)[0]


def _episode(task: Task, ranking: tuple[int, ...], error: AnswerError | None = None) -> Episode:
    return Episode(task, (), (), Answer(ranking, error), {"ndcg": 0.0}, 1)


def _others(task: Task) -> tuple[int, ...]:
    return tuple(item for item in task.candidates if item != task.sample.target)


def test_a_violator_stands_above_the_target(task: Task) -> None:
    others = _others(task)
    ranking = (others[0], others[1], task.sample.target, others[2])
    drawn = [violation(_episode(task, ranking), np.random.default_rng(seed)) for seed in range(20)]
    assert {pair[2] for pair in drawn if pair} == {others[0], others[1]}
    assert {pair[3] for pair in drawn if pair} == {2}


def test_any_ranked_item_violates_where_the_target_is_absent(task: Task) -> None:
    others = _others(task)[:3]
    drawn = [violation(_episode(task, others), np.random.default_rng(seed)) for seed in range(40)]
    assert {pair[2] for pair in drawn if pair} == set(others)
    assert {pair[3] for pair in drawn if pair} == {ABSENT}


def test_a_target_at_the_top_gives_no_pair(task: Task) -> None:
    assert violation(_episode(task, (task.sample.target, *_others(task))), np.random.default_rng(0)) is None


def test_after_an_invalid_answer_any_other_candidate_violates(task: Task) -> None:
    answer = _episode(task, (), AnswerError.NO_ANSWER)
    drawn = [violation(answer, np.random.default_rng(seed)) for seed in range(80)]
    assert {pair[2] for pair in drawn if pair} == set(_others(task))


@pytest.fixture
def pairs(toolbox: Toolbox) -> pl.DataFrame:
    rows = [(task.sample.sample_id, task.sample.target, _others(task)[0], 1) for task in all_tasks(toolbox)[:20]]
    return pl.DataFrame(rows, schema=["sample_id", "target", "violator", "target_rank"], orient="row")


def test_the_right_answer_stands_on_each_side_equally_often(toolbox: Toolbox, pairs: pl.DataFrame) -> None:
    tasks = pair_tasks(toolbox, pairs, seed=1)
    for direction in ("more", "less"):
        right_first = [task.candidates[0] == task.answer_item for task in tasks if task.direction == direction]
        assert sum(right_first) == len(pairs) // 2


def test_one_direction_does_not_tell_the_other(toolbox: Toolbox, pairs: pl.DataFrame) -> None:
    tasks = pair_tasks(toolbox, pairs, seed=1)
    same = [tasks[place].candidates == tasks[place + 1].candidates for place in range(0, len(tasks), 2)]
    assert 0 < sum(same) < len(same)


def test_more_is_answered_by_the_target_and_less_by_the_violator(toolbox: Toolbox, pairs: pl.DataFrame) -> None:
    for (_, target, violator, _), place in zip(pairs.rows(), range(0, 2 * len(pairs), 2), strict=True):
        more, less = pair_tasks(toolbox, pairs, seed=1)[place : place + 2]
        assert (more.answer_item, less.answer_item) == (target, violator)
        assert set(more.candidates) == set(less.candidates) == {target, violator}


def test_no_pair_is_both_trained_on_and_measured(pairs: pl.DataFrame, tmp_path: object) -> None:
    from pathlib import Path

    path = Path(str(tmp_path)) / "pairs.parquet"
    pairs.write_parquet(path)
    trained, held_out = split_pairs(path, seed=1)
    assert len(trained) + len(held_out) == len(pairs)
    assert not set(trained["sample_id"]) & set(held_out["sample_id"])
