import dataclasses

import pytest

from recops.records import Event, Task
from recops.tools.toolbox import Toolbox
from tests.recops.tools.calls import CALLS
from tests.recops.tools.shop import DAY, tasks

NOW = 30_000 * DAY
TITLES = {1: "Northwind Charging Dock, Copper", 2: "Northwind Charging Dock, Teal", 9: "Northwind Racing Game, Copper",
          10: "Northwind Racing Game, Teal", 14: "Glenrock Racing Game, Teal"}  # fmt: skip


def asked(shop: Toolbox, *events: tuple[int, int, float | None]) -> Task:
    """A task whose history is (item, days ago, rating)."""
    task = tasks(shop)[0]
    history = tuple(Event(item, NOW - days * DAY, rating) for item, days, rating in events)
    return dataclasses.replace(
        task, sample=dataclasses.replace(task.sample, sample_id=-1, timestamp=NOW, history=history)
    )


def test_a_profile_says_the_most_frequent_first_then_prices_ratings_and_age(shop: Toolbox) -> None:
    task = asked(shop, (1, 100, 5), (9, 50, None), (10, 20, 4), (14, 3, 3))

    assert shop.call(task, "get_user_profile", {}).splitlines() == [
        "Comes back to categories: often",
        "Comes back to stores: often",
        "Categories: Games 3, Docks 1",
        "Stores: Northwind 3, Glenrock 1",
        "Price: middle, median $42.00",
        "Rating: 4.0 on average, 3 of 4 rated",
        "4 items in 97 days, the last 3 days ago",
    ]


def test_a_profile_leaves_out_what_nothing_is_known_of(shop: Toolbox) -> None:
    assert shop.call(asked(shop, (14, 3, None)), "get_user_profile", {}).splitlines() == [
        "Comes back to categories: too early to tell",
        "Comes back to stores: too early to tell",
        "Categories: Games 1",
        "Stores: Glenrock 1",
        "1 items in 0 days, the last 3 days ago",
    ]


def test_a_profile_has_the_parts_that_the_recipe_names_in_its_order(shop: Toolbox) -> None:
    short = Toolbox(shop.evidence, shop.context(asked(shop, (1, 3, 4.0))).agent.model_copy(
        update={"profile_parts": ("span", "habits")}))  # fmt: skip

    assert short.call(asked(shop, (1, 100, 5), (9, 50, None), (2, 3, 3)), "get_user_profile", {}).splitlines() == [
        "3 items in 97 days, the last 3 days ago",
        "Comes back to categories: often",
        "Comes back to stores: often",
    ]


def test_a_profile_names_the_five_most_frequent_and_counts_the_others(shop: Toolbox) -> None:
    events = [(item, 90 - item, 4.0) for item in (1, 9, 17, 25, 33, 4)]

    first = shop.call(asked(shop, *events), "get_user_profile", {}).splitlines()[2]

    assert first == "Categories: unknown 1, Mats 1, Lamps 1, Kettles 1, Games 1 and 1 more"


def test_sessions_end_after_a_day_and_the_latest_come_first(shop: Toolbox) -> None:
    events = ((17, 90, 4.0), (1, 41, 4.0), (9, 40, 4.0), (1, 12, 4.0), (2, 11, 4.0), (10, 3, 4.0), (33, 3, 4.0))

    assert shop.call(asked(shop, *events), "get_session_behavior", {}).splitlines() == [
        "3 days ago: Games, Mats",
        "11 days ago: Docks",
        "40 days ago: Docks, Games",
        "New: Mats",
        "Left: Docks, Kettles",
    ]


def test_a_single_session_is_all_new(shop: Toolbox) -> None:
    assert shop.call(asked(shop, (1, 2, 4.0)), "get_session_behavior", {}).splitlines() == [
        "2 days ago: Docks",
        "New: Docks",
        "Left: nothing",
    ]


def test_ratings_are_grouped_and_the_newest_of_each_group_comes_first(shop: Toolbox) -> None:
    events = ((1, 9, 5.0), (2, 8, 4.0), (9, 7, 3.0), (10, 6, 2.0), (14, 5, None))
    lines = shop.call(asked(shop, *events), "get_rating_behavior", {}).splitlines()

    assert [line.partition(" | ")[0] for line in lines] == [
        "High: 2", TITLES[2], TITLES[1], "Middle: 1", TITLES[9], "Low: 1", TITLES[10], "Unrated: 1",
    ]  # fmt: skip
    assert lines[1].endswith(" | rated 4 | 8 days ago")


def test_of_a_large_group_five_are_told_and_the_others_counted(shop: Toolbox) -> None:
    lines = shop.call(
        asked(shop, *((item, 30 - item, 5.0) for item in range(1, 9))), "get_rating_behavior", {}
    ).splitlines()

    assert lines[0] == "High: 8"
    assert lines[6:] == ["and 3 more", "Middle: 0", "Low: 0"]


@pytest.mark.parametrize(
    ("name", "arguments"),
    [
        ("get_user_profile", {}),
        ("get_user_history", {"limit": 3}),
        ("get_session_behavior", {}),
        ("get_rating_behavior", {}),
    ],
)
def test_a_user_without_history_is_said_to_have_none(name: str, arguments: dict[str, int], shop: Toolbox) -> None:
    assert shop.call(asked(shop), name, arguments) == "No history."


def test_every_tool_answers_for_a_user_without_history(shop: Toolbox) -> None:
    assert all(shop.call(asked(shop), *call) for call in CALLS)
