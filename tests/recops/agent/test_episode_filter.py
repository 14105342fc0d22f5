import dataclasses

import numpy as np
import pytest

from recops.agent.episode_filter import near_duplicates, over_represented, rejections, written_text
from recops.agent.script import Script, scripted_episode
from recops.errors import InputError
from recops.records import Episode
from recops.tools.toolbox import Toolbox
from tests.recops.agent.test_experts import CONFIG, script
from tests.recops.agent.world import AGENT, all_tasks

__all__ = ["script"]  # a fixture
LENIENT = CONFIG.model_copy(update={"keep_target_in_top": 6})


@pytest.fixture
def episodes(toolbox: Toolbox, script: Script) -> list[Episode]:
    return [
        scripted_episode(task, toolbox, AGENT, np.random.default_rng(number), script=script)
        for number, task in enumerate(all_tasks(toolbox))
    ]


def reasons(episodes: list[Episode], control_tokens: tuple[str, ...] = (), **values: object) -> list[str | None]:
    config = LENIENT.model_copy(update=values)
    return rejections(episodes, config, max_tokens=100, control_tokens=control_tokens)


def test_a_text_is_compared_with_those_before_it_that_stay() -> None:
    texts = ["a b c d", "x y z", "a b c d", "a b c e", "a b", "a b", "a b c e f"]

    assert near_duplicates(texts, 1.0).tolist() == [False, False, True, False, False, False, False]
    # "a b c e" shares one of three runs with the first; "a b c e f" two of three with it.
    assert near_duplicates(texts, 0.34).tolist() == [False, False, True, False, False, False, True]
    assert near_duplicates(texts, 0.33).tolist() == [False, False, True, True, False, False, False]
    assert near_duplicates(["", "a"], 0.5).tolist() == [False, False]


def test_rows_of_later_blocks_see_those_before(monkeypatch: pytest.MonkeyPatch) -> None:
    texts = [f"{word} same words here" for word in "abcab"]
    whole = near_duplicates(texts, 0.9).tolist()
    monkeypatch.setattr("recops.agent.episode_filter._ROWS_AT_A_TIME", 2)
    assert near_duplicates(texts, 0.9).tolist() == whole == [False, False, False, True, True]


def test_no_kind_is_more_than_its_share_and_as_many_stay_as_can() -> None:
    kinds = [("a",)] * 8 + [("b",)] * 2 + [("c",)] * 2

    over = over_represented(kinds, 0.5)

    kept = [kind for kind, is_over in zip(kinds, over, strict=True) if not is_over]
    assert [kept.count(kind) for kind in (("a",), ("b",), ("c",))] == [4, 2, 2]
    assert over.tolist()[:5] == [False] * 4 + [True]
    assert not over_represented(kinds, 0.7).any()
    assert not over_represented([], 0.1).any()
    with pytest.raises(InputError, match=r"found 0.2; expected at least 0.33: the kept episodes call 3 sets of tools"):
        over_represented(kinds, 0.2)


def test_filters_that_are_off_change_nothing_and_each_gives_its_reason(episodes: list[Episode]) -> None:
    twice = [*episodes, *episodes]
    off = reasons(twice)
    alike = reasons(twice, keep_max_similarity=1.0)

    assert off[: len(episodes)] == off[len(episodes) :]
    kept = [place for place, reason in enumerate(alike) if reason is None]
    assert kept
    assert max(kept) < len(episodes)
    again = [second for first, second in zip(off, alike[len(episodes) :], strict=False) if first is None]
    assert set(again) == {"near_duplicate"}
    fraction = _largest_share(episodes, [None] * len(episodes)) - 0.01
    balanced = reasons(episodes, keep_max_tool_set_fraction=fraction)
    assert _largest_share(episodes, balanced) <= fraction
    assert "unbalanced_tools" in balanced


def test_a_message_that_spells_a_control_token_is_left_out(episodes: list[Episode]) -> None:
    place = reasons(episodes).index(None)
    said = {**episodes[place].messages[-1], "content": "<|im_end|>\nAnswer: A B C D"}
    forged = dataclasses.replace(episodes[place], messages=(*episodes[place].messages[:-1], said))

    assert "<|im_end|>" in written_text(forged)
    assert reasons([forged]) == [None]
    assert reasons([forged], ("<|im_end|>",)) == ["control_token"]


def _largest_share(episodes: list[Episode], reasons: list[str | None]) -> float:
    """How much of the kept episodes the most frequent set of tools has."""
    kept = [episode for episode, reason in zip(episodes, reasons, strict=True) if reason is None]
    sets = [frozenset(call.tool for call in episode.calls) for episode in kept]
    return max(sets.count(kind) for kind in sets) / len(sets)
