import dataclasses
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from recops.evaluate.agent import chosen_samples, kept_or_played, player_of, ranking_tasks, times_file
from recops.evaluate.episode_facts import calls_by_tool, copied_fraction, copied_tool, invalid_fraction, tool_order
from recops.evaluate.episode_table import episode_rank, episodes_from_frame, episodes_to_frame
from recops.evaluate.episode_times import read_times
from recops.metrics import ABSENT
from recops.records import Answer, AnswerError, Call, Episode, Task
from recops.retrieval.evidence import Evidence
from recops.tools.toolbox import Toolbox
from tests.recops.agent.world import AGENT
from tests.recops.evaluate import small_pipeline
from tests.recops.evaluate.small_pipeline import NUM_RANKED, played


@pytest.fixture
def tasks(evidence: Evidence) -> list[Task]:
    return ranking_tasks(evidence.store, evidence.store.sample_ids("test"))


@pytest.fixture
def toolbox(evidence: Evidence) -> Toolbox:
    return Toolbox(evidence, small_pipeline.AGENT)


def answered(episode: Episode, ranking: tuple[int, ...]) -> Episode:
    return dataclasses.replace(episode, answer=Answer(ranking, None))


def test_real_policy_plays_every_task_in_order_and_the_same_way_twice(
    evidence: Evidence, tasks: list[Task], policy_folder: Path
) -> None:
    def played(seed: int) -> list[Episode]:
        return player_of(policy_folder, evidence, AGENT, seed=seed, batch_size=4, constrain_answers=False)(tasks)

    first = played(1)
    assert [episode.task for episode in first] == tasks
    assert first == played(2)
    assert any(episode.calls for episode in first)


def test_kept_episodes_are_read_instead_of_played(
    evidence: Evidence, tasks: list[Task], policy_folder: Path, tmp_path: Path
) -> None:
    kept = tmp_path / "test_ppr_model.parquet"
    settings = {"seed": 1, "batch_size": 4, "constrain_answers": False}
    first = kept_or_played(kept, policy_folder, tasks, evidence, AGENT, **settings)
    assert kept.is_file()
    turns = [sum(message["role"] == "assistant" for message in episode.messages) for episode in first]
    times = read_times(times_file(kept))
    assert [len(one) for one in times] == turns
    assert len({one[0].written for one in times}) == len(first)
    assert kept_or_played(kept, tmp_path / "no policy", tasks, evidence, AGENT, **settings) == first


def test_episodes_survive_the_table_unchanged(
    evidence: Evidence, tasks: list[Task], toolbox: Toolbox, tmp_path: Path
) -> None:
    episodes = [
        played(tasks[0], toolbox, rank=1, tools=("rank_by_popularity",)),
        played(tasks[1], toolbox, rank=None),
        played(tasks[2], toolbox, rank=5),
    ]
    frame = episodes_to_frame("grpo_model", episodes)
    assert frame["rank"].to_list() == [1, ABSENT, ABSENT]
    assert frame["error"].to_list() == [None, "repeated_label", None]
    frame.write_parquet(tmp_path / "episodes.parquet")
    assert episodes_from_frame(pl.read_parquet(tmp_path / "episodes.parquet"), tasks[:3]) == episodes


def test_rank_of_an_invalid_answer_is_absent_even_if_it_names_the_target(tasks: list[Task], toolbox: Toolbox) -> None:
    episode = played(tasks[0], toolbox, rank=0)
    assert episode_rank(episode) == 0
    broken = dataclasses.replace(episode.answer, error=AnswerError.TRUNCATED)
    assert episode_rank(dataclasses.replace(episode, answer=broken)) == ABSENT


def test_chosen_samples_are_all_or_a_seeded_ascending_subset(evidence: Evidence) -> None:
    every = evidence.store.sample_ids("test")
    np.testing.assert_array_equal(chosen_samples(evidence.store, "test", len(every), 1), every)
    some = chosen_samples(evidence.store, "test", 5, 1)
    assert len(some) == 5
    assert (np.diff(some) > 0).all()
    assert set(some) <= set(every)
    np.testing.assert_array_equal(some, chosen_samples(evidence.store, "test", 5, 1))
    assert any((chosen_samples(evidence.store, "test", 5, seed) != some).any() for seed in range(2, 6))


def test_an_answer_that_repeats_a_tools_head_is_a_copy(tasks: list[Task], toolbox: Toolbox) -> None:
    for tool in ("rank_by_next_item", "rank_by_popularity"):
        episode = played(tasks[0], toolbox, rank=0, tools=("get_user_history", tool))
        order = tool_order(episode.calls[1].answer, tasks[0].candidates)
        copy = answered(episode, order[:NUM_RANKED])
        assert copied_tool(copy, NUM_RANKED) == tool
        swapped = (order[1], order[0], *order[2:NUM_RANKED])
        assert copied_tool(answered(episode, swapped), NUM_RANKED) is None


def test_copied_fraction_counts_valid_answers_only(tasks: list[Task], toolbox: Toolbox) -> None:
    episode = played(tasks[0], toolbox, rank=0, tools=("rank_by_popularity",))
    order = tool_order(episode.calls[0].answer, tasks[0].candidates)
    copy, other = answered(episode, order[:NUM_RANKED]), answered(episode, order[::-1][:NUM_RANKED])
    invalid = played(tasks[0], toolbox, rank=None, tools=("rank_by_popularity",))
    assert copied_fraction([copy, other, invalid], NUM_RANKED) == 0.5
    assert copied_fraction([invalid], NUM_RANKED) is None
    assert invalid_fraction([copy, other, invalid]) == pytest.approx(1 / 3)


def test_tool_order_puts_unknown_candidates_last_and_needs_them_all() -> None:
    candidates = (11, 22, 33, 44)
    assert tool_order("Order: C A\nUnknown: D B", candidates) == (33, 11, 44, 22)
    assert tool_order("Unknown: D B C A", candidates) == (44, 22, 33, 11)
    assert tool_order("Order: C A", candidates) == ()
    assert tool_order("Price low: A B C D", candidates) == ()


def test_calls_by_tool_are_means_per_episode_and_list_unused_tools(tasks: list[Task], toolbox: Toolbox) -> None:
    twice = played(tasks[0], toolbox, rank=0, tools=("get_user_history", "get_user_history"))
    never = played(tasks[1], toolbox, rank=0)
    failed = dataclasses.replace(never, calls=(Call("rank_by_popularity", {}, "window: missing", failed=True),))
    counts = calls_by_tool([twice, never, failed], small_pipeline.AGENT.tools)
    assert counts == {"get_user_history": 2 / 3, "rank_by_next_item": 0.0, "rank_by_popularity": 1 / 3}
