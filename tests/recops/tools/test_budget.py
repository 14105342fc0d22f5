from pathlib import Path

import pytest

from recops.tools.budget import BUDGETS, within_budget
from recops.tools.toolbox import TOOLS, Toolbox
from tests.recops.agent.world import alike, changed
from tests.recops.tools.calls import CALLS
from tests.recops.tools.shop import AGENT, load_shop, tasks


def test_every_tool_has_a_budget() -> None:
    assert list(BUDGETS) == list(TOOLS)


def test_an_answer_within_its_budget_is_left_alone() -> None:
    assert within_budget("one\ntwo", 7) == "one\ntwo"


@pytest.mark.parametrize("budget", range(40, 400, 7))
def test_a_long_answer_ends_with_how_much_is_left_out(budget: int) -> None:
    lines = [f"line {number} of many" for number in range(60)]

    kept = within_budget("\n".join(lines), budget).splitlines()

    assert len("\n".join(kept)) <= budget
    assert kept[:-1] == lines[: len(kept) - 1]
    assert kept[-1] == f"Cut: {61 - len(kept)} more lines"


def test_a_line_that_is_too_long_by_itself_is_cut_between_words() -> None:
    answer = within_budget("Order:" + " AB" * 500, 100)

    first, last = answer.splitlines()
    assert len(answer) <= 100
    assert set(first.split()) == {"Order:", "AB"}
    assert last == f"Cut: {501 - len(first.split())} more words"


def test_no_answer_is_longer_than_its_budget_with_long_titles_and_a_long_history(tmp_path: Path) -> None:
    toolbox = load_shop(tmp_path, changed(AGENT, tool_fields=("title", "category", "store", "price", "rating") * 3))
    task = tasks(toolbox)[-1]
    long = alike(task, sample_id=-1, history=task.sample.history * 20)

    cut = [
        name
        for name, arguments in CALLS
        if (answer := toolbox.call(long, name, arguments)).splitlines()[-1].startswith("Cut: ")
        or len(answer) > BUDGETS[name]
    ]

    assert cut == ["get_user_history", "get_rating_behavior"]
    assert all(len(toolbox.call(long, *call)) <= BUDGETS[call[0]] for call in CALLS)


def test_the_shop_needs_no_cut(shop: Toolbox) -> None:
    answers = [shop.call(task, *call) for task in tasks(shop) for call in CALLS]

    assert not any("Cut: " in answer for answer in answers)
