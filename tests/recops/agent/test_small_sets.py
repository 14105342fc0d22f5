"""Candidate sets smaller than the list that is asked for."""

import dataclasses

import pytest

from recops.agent.answer import num_expected, parse_answer
from recops.agent.local_policy import LocalPolicy
from recops.agent.rollout import play
from recops.records import label
from recops.tools.toolbox import Toolbox
from tests.recops.agent.world import AGENT, all_tasks


@pytest.mark.parametrize("num_candidates", [1, 2, 3])
def test_a_set_smaller_than_the_list_is_ranked_whole(
    num_candidates: int, policy: LocalPolicy, toolbox: Toolbox
) -> None:
    assert num_candidates < AGENT.num_ranked
    tasks = [dataclasses.replace(task, candidates=task.candidates[:num_candidates]) for task in all_tasks(toolbox)[:6]]

    episodes = play(policy, tasks, toolbox, AGENT, temperature=0.0, seed=1, batch_size=6, constrain_answers=True)

    assert num_expected(tasks[0], AGENT) == num_candidates
    for episode in episodes:
        assert len(episode.answer.ranking) in (0, num_candidates)
    order = " ".join(label(place) for place in reversed(range(num_candidates)))
    parsed = parse_answer(f"Answer: {order}", tasks[0], AGENT)
    assert parsed.ranking == tasks[0].candidates[::-1]
    assert parsed.error is None
