import dataclasses
from collections.abc import Sequence

import pytest

from recops.evaluate.windows import rank_in_windows, window_starts
from recops.records import Answer, AnswerError, Episode, Task
from recops.retrieval.evidence import Evidence


def play_by_number(tasks: Sequence[Task], num_ranked: int = 3) -> list[Episode]:
    """An agent that prefers low numbers and names three."""
    answers = [Answer(tuple(sorted(task.candidates)[:num_ranked]), None) for task in tasks]
    return [Episode(task, (), (), answer, {}, 0) for task, answer in zip(tasks, answers, strict=True)]


@pytest.mark.parametrize(
    ("length", "starts"), [(50, [30, 20, 10, 0]), (20, [0]), (7, [0]), (25, [5, 0]), (41, [21, 11, 1, 0])]
)
def test_windows_slide_from_the_end_to_the_top(length: int, starts: list[int]) -> None:
    assert window_starts(length, 20, 10) == starts


def test_the_best_of_a_long_list_reach_the_top_whatever_their_place(evidence: Evidence) -> None:
    sample = evidence.store.sample(0)
    lists = [list(range(23, 0, -1)), [9, 8, 7], [4, 3, 2, 1, 5, 6, 7]]

    ranked = rank_in_windows(play_by_number, [sample] * 3, lists, window=6, step=3, requests=["", "a gift", ""])

    assert [one.items[:3] for one in ranked] == [(1, 2, 3), (7, 8, 9), (1, 2, 3)]
    assert [sorted(one.items) for one in ranked] == [sorted(items) for items in lists]
    assert [len(one.episodes) for one in ranked] == [7, 1, 2]
    assert ranked[1].episodes[0].task.request == "a gift"
    assert all(one.episodes[-1].task.candidates[0] in one.items[:6] for one in ranked)


def test_rounds_are_played_together(evidence: Evidence) -> None:
    sample = evidence.store.sample(0)
    sizes = []

    def play(tasks: Sequence[Task]) -> list[Episode]:
        sizes.append(len(tasks))
        return play_by_number(tasks)

    rank_in_windows(play, [sample] * 2, [list(range(9)), list(range(6))], window=6, step=3, requests=["", ""])

    assert sizes == [1, 2]


def test_an_invalid_answer_leaves_its_window_as_it_was(evidence: Evidence) -> None:
    def invalid(tasks: Sequence[Task]) -> list[Episode]:
        none = Answer((), AnswerError.NO_ANSWER)
        return [dataclasses.replace(episode, answer=none) for episode in play_by_number(tasks)]

    [ranked] = rank_in_windows(invalid, [evidence.store.sample(0)], [[5, 1, 4, 2]], window=3, step=2, requests=[""])

    assert ranked.items == (5, 1, 4, 2)
