import itertools

import pytest
import torch

from recops.agent.answer import num_expected
from recops.agent.answer_constraint import AnswerConstraint
from recops.agent.environment import environments_of
from recops.agent.local_policy import LocalPolicy
from recops.agent.player import Player
from recops.agent.rollout import play
from recops.records import AnswerError, Task, label
from recops.tools.toolbox import Toolbox
from tests.recops.agent.world import AGENT, all_tasks


def player_of(task: Task, toolbox: Toolbox, policy: LocalPolicy, text: str) -> Player:
    [environment] = environments_of([task], toolbox, AGENT)
    player = Player(0, environment, [1, 2], limit=500)
    for token in policy.tokenizer(text, add_special_tokens=False)["input_ids"]:
        player.take(token)
    return player


def following(task: Task, toolbox: Toolbox, policy: LocalPolicy, text: str) -> set[str] | None:
    allowed = AnswerConstraint(policy.tokenizer, policy.stop_ids, AGENT).allowed(player_of(task, toolbox, policy, text))
    return None if allowed is None else {policy.tokenizer.decode([token]) for token in allowed}


def test_only_unused_labels_follow_and_then_the_end(toolbox: Toolbox, policy: LocalPolicy) -> None:
    task = all_tasks(toolbox)[0]
    labels = {f" {label(place)}" for place in range(len(task.candidates))}
    begun = "I know enough.\nAnswer:"
    constraint = AnswerConstraint(policy.tokenizer, policy.stop_ids, AGENT)
    player = player_of(task, toolbox, policy, begun)

    written: list[str] = []
    for _ in range(num_expected(task, AGENT)):
        allowed = constraint.allowed(player)
        assert allowed is not None
        assert {policy.tokenizer.decode([token]) for token in allowed} == labels - set(written)
        player.take(allowed[-1])
        written.append(policy.tokenizer.decode([allowed[-1]]))

    assert constraint.allowed(player) == sorted(policy.stop_ids)


@pytest.mark.parametrize(
    "text",
    ["", "I know", "Answer", "Answer: is what I give.\nYes", "Not an Answer:", "<think>\nAnswer:"],
)
def test_nothing_is_said_where_no_answer_has_begun(text: str, toolbox: Toolbox, policy: LocalPolicy) -> None:
    assert following(all_tasks(toolbox)[0], toolbox, policy, text) is None


@pytest.mark.parametrize("separator", ["\n", "\r\n", "\x1c", "\u2028"])
def test_an_answer_begins_after_whatever_ends_a_line_for_the_parser(
    separator: str, toolbox: Toolbox, policy: LocalPolicy
) -> None:
    assert following(all_tasks(toolbox)[0], toolbox, policy, f"I know.{separator}Answer:") is not None
    assert following(all_tasks(toolbox)[0], toolbox, policy, f"Answer:{separator}") is None


def test_after_a_thought_an_answer_may_begin(toolbox: Toolbox, policy: LocalPolicy) -> None:
    assert following(all_tasks(toolbox)[0], toolbox, policy, "<think>\nAnswer:\n</think>\nAnswer:") is not None


def test_labels_of_several_tokens_are_completed_before_the_next_begins(toolbox: Toolbox, policy: LocalPolicy) -> None:
    constraint = AnswerConstraint(policy.tokenizer, policy.stop_ids, AGENT)
    labels = ((1,), (1, 2), (3, 4))  # A, AB and C D: the first begins the second

    assert constraint._following([], labels, 2) == [1, 3]
    assert constraint._following([3], labels, 2) == [4]
    assert constraint._following([1], labels, 2) == [1, 2, 3]
    assert constraint._following([1, 1], labels, 2) == [2]
    assert constraint._following([1, 2], labels, 2) == [1, 3]
    assert constraint._following([1, 3, 4], labels, 2) == sorted(policy.stop_ids)
    assert constraint._following([1, 3], labels, 2) == [4]


def test_constrained_answers_are_never_malformed_and_free_ones_are(toolbox: Toolbox, policy: LocalPolicy) -> None:
    tasks = all_tasks(toolbox) + all_tasks(toolbox, "more")
    settings = {"temperature": 1.5, "seed": 1, "batch_size": 16}
    malformed = {AnswerError.FOREIGN_LABEL, AnswerError.REPEATED_LABEL, AnswerError.WRONG_LENGTH}

    free = play(policy, tasks, toolbox, AGENT, **settings)
    constrained = play(policy, tasks, toolbox, AGENT, **settings, constrain_answers=True)

    assert malformed & {episode.answer.error for episode in free}
    assert not malformed & {episode.answer.error for episode in constrained}
    share = [sum(one.answer.error is not None for one in played) for played in (free, constrained)]
    assert share[1] < share[0]


def test_nothing_changes_before_the_answer_begins(toolbox: Toolbox, policy: LocalPolicy) -> None:
    tasks = all_tasks(toolbox)
    settings = {"temperature": 0.0, "seed": 1, "batch_size": 8}

    free = play(policy, tasks, toolbox, AGENT, **settings)
    constrained = play(policy, tasks, toolbox, AGENT, **settings, constrain_answers=True)

    assert [episode.calls for episode in constrained] == [episode.calls for episode in free]
    assert [episode.messages[:-1] for episode in constrained] == [episode.messages[:-1] for episode in free]
    said = [[one.messages[-1]["content"].partition("Answer:")[0] for one in played] for played in (free, constrained)]
    assert said[0] == said[1]


def test_masked_logits_keep_the_value_of_what_is_allowed(toolbox: Toolbox, policy: LocalPolicy) -> None:
    player = player_of(all_tasks(toolbox)[0], toolbox, policy, "Answer:")
    constraint = AnswerConstraint(policy.tokenizer, policy.stop_ids, AGENT)
    logits = torch.arange(float(len(policy.tokenizer)))[None]

    masked = constraint(logits.clone(), [player])[0]

    allowed = constraint.allowed(player)
    assert allowed is not None
    assert masked[allowed].tolist() == logits[0, allowed].tolist()
    assert int(torch.isfinite(masked).sum()) == len(allowed) == len(set(itertools.chain(allowed)))
