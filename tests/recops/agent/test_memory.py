"""Histories that are longer than the prompt shows: bounded in tokens, the last items always there."""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from recops.agent.memory import HEADER, Describe, history_lines
from recops.agent.prompts import task_messages
from recops.config.agent import AgentConfig, SummaryConfig
from recops.tools.item_text import ItemText
from recops.tools.sanitize import Sanitizer
from recops.tools.toolbox import Toolbox, num_bytes
from recops.train.synthetic import SyntheticEpisodes
from tests.recops.agent.world import AGENT, alike, all_tasks, changed, load_toolbox, tiny_tokenizer


def with_summary(max_tokens: int, **values: Any) -> AgentConfig:
    memory = SummaryConfig(kind="summary", max_tokens=max_tokens)
    return AgentConfig.model_validate({**AGENT.model_dump(), "memory": memory.model_dump(), **values})


def item_text(titles: Sequence[str], categories: Sequence[str]) -> ItemText:
    count = len(titles)
    frame = pl.DataFrame(
        {
            "title": list(titles),
            "category": list(categories),
            "store": [f"store {number % 2}" for number in range(count)],
            "price": [float(number) for number in range(count)],
        }
    )
    return ItemText(frame, Sanitizer(80))


def lines_of(text: ItemText) -> Describe:
    return lambda items, fields: [text.line(item, fields) for item in items]  # type: ignore[arg-type]


def block(lines: Sequence[str]) -> str:
    return "".join(f"{line}\n" for line in (HEADER, *lines))


SHOP = item_text(["Red cable", "Blue mouse", "Desk lamp"], ["Cables", "Mice", "Lamps"])
SHOP_LINES = lines_of(SHOP)


def test_the_summary_counts_what_the_last_items_do_not_show() -> None:
    agent = with_summary(200, history_length=2, history_fields=("category", "price"))

    lines = history_lines([1, 1, 2, 1, 2, 3], SHOP, agent, num_bytes, describe=SHOP_LINES)

    assert lines == ["Earlier items: 4", "Mean price: $0.25", "Cables x3", "Mice x1", "Mice | $1.00", "Lamps | $2.00"]


def test_the_summary_rolls_on_with_every_item_that_leaves_the_last_ones() -> None:
    agent = with_summary(400, history_length=1)
    items = [1, 2, 3, 3, 2, 3]

    shown = [
        history_lines(items[:end], SHOP, agent, num_bytes, describe=SHOP_LINES) for end in range(1, len(items) + 1)
    ]

    assert [lines[:-1] for lines in shown] == [
        [],
        ["Earlier items: 1", "Cables x1"],
        ["Earlier items: 2", "Cables x1", "Mice x1"],
        ["Earlier items: 3", "Cables x1", "Lamps x1", "Mice x1"],
        ["Earlier items: 4", "Lamps x2", "Cables x1", "Mice x1"],
        ["Earlier items: 5", "Lamps x2", "Mice x2", "Cables x1"],
    ]
    assert [lines[-1] for lines in shown] == [SHOP.field(item, "category") for item in items]


def test_what_matters_least_is_left_out_first() -> None:
    items = [1, 1, 2, 1, 2, 3]
    kept = [
        history_lines(items, SHOP, with_summary(bound, history_length=2), num_bytes, describe=SHOP_LINES)
        for bound in (32, 40, 49, 99)
    ]

    assert [lines[:-2] for lines in kept] == [
        [],
        ["Earlier items: 4"],
        ["Earlier items: 4", "Cables x3"],
        ["Earlier items: 4", "Cables x3", "Mice x1"],
    ]


@given(
    texts=st.lists(st.tuples(st.text(max_size=120), st.text(max_size=60)), min_size=1, max_size=6),
    history=st.lists(st.integers(min_value=0, max_value=5), max_size=40),
    length=st.integers(min_value=1, max_value=8),
    extra=st.integers(min_value=0, max_value=90),
)
@settings(max_examples=80, deadline=None)
def test_never_above_the_bound_and_the_last_items_are_always_there(
    texts: list[tuple[str, str]], history: list[int], length: int, extra: int, count_tokens: Any
) -> None:
    text = item_text(*zip(*texts, strict=True))
    items = [1 + place % len(texts) for place in history]
    for count in (num_bytes, count_tokens):
        agent = with_summary(8 * (length + 2) + extra, history_length=length, history_fields=("title", "category"))

        lines = history_lines(items, text, agent, count, describe=lines_of(text))

        assert count(block(lines)) <= agent.memory.max_tokens  # type: ignore[union-attr]
        last = [text.line(item, agent.history_fields) for item in items[-length:]]
        shown = lines[len(lines) - len(last) :]
        assert all(line and full.startswith(line) for line, full in zip(shown, last, strict=True))
        assert lines == history_lines(items, text, agent, count, describe=lines_of(text))


@pytest.fixture(scope="module")
def count_tokens(toolbox: Toolbox) -> Any:
    tokenizer, _ = tiny_tokenizer(toolbox)
    return lambda text: len(tokenizer(text, add_special_tokens=False)["input_ids"])


def test_the_prompt_has_the_block_and_only_what_is_before_the_sample(folders: tuple[Path, Path]) -> None:
    agent = with_summary(120, history_length=1)
    toolbox = load_toolbox(folders, agent)
    task = max(all_tasks(toolbox), key=lambda one: len(one.sample.history))
    others = [item for item in task.candidates if item != task.sample.target]
    blind = alike(task, target=others[0], timestamp=task.sample.timestamp + 10**9)

    prompt = task_messages(task, toolbox, agent)

    items = [event.item for event in task.sample.history]
    lines = history_lines(
        items, toolbox.item_text, agent, toolbox.count_tokens, describe=toolbox.context(task).described
    )
    assert lines[0] == f"Earlier items: {len(items) - 1}"
    assert block(lines) in prompt[-1]["content"]
    assert task_messages(blind, toolbox, agent) == prompt


def test_last_items_show_the_last_ones_and_ask_for_no_tokens() -> None:
    agent = changed(history_length=2)

    assert history_lines([1, 2, 3], SHOP, agent, lambda _: 1 // 0, describe=SHOP_LINES) == ["Mice", "Lamps"]


def test_the_embedded_policy_meets_summaries_in_its_lessons(toolbox: Toolbox) -> None:
    import numpy as np

    source = SyntheticEpisodes(toolbox.item_text, 40, with_summary(200, history_length=2))
    generator = np.random.default_rng(1)

    prompts = [
        source.draw(generator, num_candidates=4, num_views=1, direction="rank", history=3)[1]["content"]
        for _ in range(20)
    ]

    assert sum("Earlier items: " in prompt for prompt in prompts) > 10


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"memory": {"kind": "summary", "max_tokens": 55}}, "max_tokens 55 is below 56"),
        ({"memory": {"kind": "summary", "max_tokens": 99}, "history_fields": ()}, "history_fields"),
        ({"memory": {"kind": "diary"}}, "kind"),
    ],
)
def test_a_memory_that_cannot_hold_the_last_items_is_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(ValidationError, match=words):
        AgentConfig.model_validate({**AGENT.model_dump(), **values})
