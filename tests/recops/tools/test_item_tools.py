import dataclasses

import numpy as np
import pytest

from recops.records import Task, label
from recops.tools.errors import ToolError
from recops.tools.toolbox import Toolbox
from tests.recops.tools.shop import COLD_ITEM, DAY, NUM_ITEMS, tasks


def about(shop: Toolbox, *candidates: int, days: int = 10**6) -> Task:
    """A task of these candidates late in time, with the history of the first sample."""
    task = tasks(shop)[0]
    sample = dataclasses.replace(task.sample, sample_id=-1, candidates=candidates, timestamp=days * DAY)
    return Task(sample, candidates, "rank")


def parts(answer: str) -> dict[str, list[str]]:
    """Head of each part of an answer -> what stands behind it and below it."""
    found: dict[str, list[str]] = {}
    for line in answer.splitlines():
        head, colon, rest = line.partition(":")
        if colon and not line.count("|"):
            found[head] = [rest] if rest else []
        else:
            found[list(found)[-1]].append(line)
    return found


def test_related_items_name_candidates_by_letter_and_others_by_their_line(shop: Toolbox) -> None:
    task = about(shop, 9, 10, 17, 16, COLD_ITEM)
    together, _ = shop.evidence.catalogue.taken_together(9, task.sample.timestamp)
    near = [item for item in together.tolist() if item in task.candidates]

    found = parts(shop.call(task, "get_related_items", {"item": "A"}))

    assert list(found)[:3] == ["Taken together", "Same store", "Same category"]
    assert found["Taken together"] == ["".join(f" {label(task.candidates.index(item))}" for item in near)]
    assert found["Same store"] == [" B C"]
    assert found["Same category"] == [" B D"]
    left_out = {*task.candidates, *(event.item for event in task.sample.history)}
    others = [item for item in together.tolist() if item not in left_out][:3]
    context = shop.context(task)
    assert found["Also taken together"] == [context.line(item) for item in others]
    assert len(found["Also of the store"]) == 3
    assert all(line.startswith("Northwind") for line in found["Also of the store"])
    assert all("Racing Game" in line for line in found["Also of the category"])


def test_an_item_may_be_named_by_a_title_of_the_history(shop: Toolbox) -> None:
    task = about(shop, 9, 10)
    item = task.sample.history[0].item
    title = shop.item_text.field(item, "title")
    by_letter = dataclasses.replace(task, candidates=(9, 10, item))

    for tool in ("get_related_items", "get_similar_items"):
        assert shop.call(task, tool, {"item": title.upper()})
    info = shop.call(task, "get_item_info", {"candidate": title})
    assert shop.call(by_letter, "get_item_info", {"candidate": "C"}) == f" C | {info}"
    with pytest.raises(ToolError, match="expected A to B, or a title of the history"):
        shop.call(task, "get_item_info", {"candidate": "Northwind Racing Game, Purple"})


def test_an_item_that_nobody_took_and_that_has_no_store_is_related_to_nothing(shop: Toolbox) -> None:
    early = about(shop, 6, 30, days=0)

    found = shop.call(early, "get_related_items", {"item": "A"})

    assert "Taken together" not in found
    assert "store" not in found
    assert "Also" not in found


def test_similar_items_order_the_other_candidates_by_cosine(shop: Toolbox) -> None:
    task = about(shop, 9, 10, 17, 16, COLD_ITEM)
    cosines = shop.evidence.catalogue.similarity(10, task.candidates)
    expected = [place for place in np.argsort(-cosines).tolist() if place != 1 and not np.isnan(cosines[place])]

    found = parts(shop.call(task, "get_similar_items", {"item": "B"}))

    assert found["Order"] == ["".join(f" {label(place)}" for place in expected)]
    assert found["Unknown"] == [" E"]
    assert len(found["Also near"]) == 5


def test_nothing_is_near_an_item_that_was_never_seen(shop: Toolbox) -> None:
    found = parts(shop.call(about(shop, 9, 10, COLD_ITEM), "get_similar_items", {"item": "C"}))

    assert list(found) == ["Unknown"]
    assert sorted(found["Unknown"][0].split()) == ["A", "B"]


def test_search_names_matching_candidates_first_and_others_below(shop: Toolbox) -> None:
    found = parts(shop.call(about(shop, 9, 22, 17, COLD_ITEM), "search_catalog", {"query": "glenrock travel kettle"}))

    assert found["Order"][0].split() == ["B", "C"]
    assert sorted(found["Unknown"][0].split()) == ["A", "D"]
    assert found["Also found"][0].startswith("Glenrock Travel Kettle, Copper")
    assert len(found["Also found"]) == 5


def test_words_that_nothing_has_match_nothing(shop: Toolbox) -> None:
    found = parts(shop.call(about(shop, 9, 22), "search_catalog", {"query": "zebra of the"}))

    assert list(found) == ["Unknown"]


def test_the_rating_of_an_item_is_that_of_before_the_sample(shop: Toolbox) -> None:
    late, early = (shop.call(about(shop, 9, 10, days=days), "get_item_info", {"candidate": "A"}) for days in (10**6, 0))
    ratings = shop.store.rating[(shop.store.item == 9) & ~np.isnan(shop.store.rating)]

    assert f"{ratings.mean():.1f} stars" in late
    assert " | unknown | taken 0 times" in early


def test_others_are_no_candidates_and_not_of_the_history(shop: Toolbox) -> None:
    for task in tasks(shop)[::5]:
        known = {shop.context(task).line(item) for item in (*task.candidates, *(e.item for e in task.sample.history))}
        for call in (("get_related_items", {"item": "A"}), ("get_similar_items", {"item": "A"}),
                     ("search_catalog", {"query": "teal kettle lamp"})):  # fmt: skip
            lines = shop.call(task, *call).splitlines()
            assert not known & set(lines)


def test_the_shop_is_as_large_as_these_tests_take_it_to_be() -> None:
    assert NUM_ITEMS == 40
