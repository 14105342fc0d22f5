import dataclasses
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recops.agent.prompts import task_messages
from recops.errors import InputError
from recops.records import Task
from recops.tools.errors import ToolError
from recops.tools.toolbox import TOOLS, Toolbox
from tests.recops.agent.world import AGENT, all_tasks, changed, load_toolbox, write_world
from tests.recops.tools.calls import CALLS

ORDERS = [call for call in CALLS if call[0].startswith("rank_by") or call[0] == "get_similar_users"]


def answers(toolbox: Toolbox, task: Task) -> list[str]:
    return [toolbox.call(task, *call) for call in CALLS]


def test_every_tool_is_called_in_these_tests() -> None:
    assert {name for name, _ in CALLS} == set(TOOLS)


@pytest.mark.parametrize(("name", "arguments"), ORDERS)
def test_an_order_names_every_candidate_once(name: str, arguments: dict[str, Any], toolbox: Toolbox) -> None:
    for task in all_tasks(toolbox):
        lines = toolbox.call(task, name, arguments).splitlines()
        labels = [one for line in lines for one in line.partition(":")[2].split()]
        assert sorted(labels) == list("ABCDEF")
        assert [line.partition(":")[0] for line in lines] in (["Order"], ["Order", "Unknown"], ["Unknown"])


def test_candidates_that_no_similar_user_took_are_unknown(toolbox: Toolbox) -> None:
    task = all_tasks(toolbox)[0]
    taken = toolbox.evidence.similar_users(task.sample, task.candidates)

    unknown = toolbox.call(task, "get_similar_users", {}).partition("Unknown:")[2].split()

    assert sorted(unknown) == ["ABCDEF"[place] for place, count in enumerate(taken) if not count > 0]


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("get_user_history", {"limit": "x"}, "limit: found 'x'; expected 1 to 50"),
        ("get_user_history", {"limit": 0}, "limit: found 0; expected 1 to 50"),
        ("get_user_history", {"limit": True}, "limit: found True; expected 1 to 50"),
        ("get_user_history", {"limit": 1.0}, "limit: found 1.0; expected 1 to 50"),
        ("get_user_history", {}, "arguments: found none; expected limit"),
        ("get_user_history", {"limit": 3, "user": 5}, "arguments: found limit, user; expected limit"),
        ("rank_by_next_item", {"self": 1}, "arguments: found self; expected none"),
        ("rank_by_popularity", {"window": ["recent"]}, "window: found ['recent']; expected one of recent, ever"),
        ("get_item_info", {"candidate": "G"}, "candidate: found 'G'; expected one of A, B, C, D, E, F"),
        ("get_item_info", {"candidate": {"a": [1] * 99}}, None),
        (
            "get_item_info",
            {"candidate": "Red cable"},
            "candidate: found 'Red cable'; expected A to F, or a title of the history",
        ),
        ("get_related_items", {"item": 3}, "item: found 3; expected one of A, B, C, D, E, F"),
        ("get_similar_items", {"item": ""}, "item: found ''; expected one of A, B, C, D, E, F"),
        ("search_catalog", {}, "arguments: found none; expected query"),
        ("search_catalog", {"query": ["red"]}, "query: found ['red']; expected words, at most 200 characters"),
        ("search_catalog", {"query": " ,; "}, "query: found ' ,; '; expected words, at most 200 characters"),
        ("search_catalog", {"query": "red " * 60}, None),
        ("rank_by_magic", {}, None),
    ],
)
def test_a_wrong_call_is_told_what_is_expected(
    name: str, arguments: dict[str, Any], message: str | None, toolbox: Toolbox
) -> None:
    task = all_tasks(toolbox)[0]
    toolbox.call(task, "get_user_history", {"limit": 1})  # True and 1.0 must not meet the kept answer to 1

    with pytest.raises(ToolError) as found:
        toolbox.call(task, name, arguments)

    assert len(str(found.value)) < 350
    assert message in (None, str(found.value))


def test_a_suite_with_an_unknown_tool_is_refused(folders: tuple[Path, Path]) -> None:
    with pytest.raises(InputError, match=r"rank_by_magic.*Known tools: get_user_profile"):
        load_toolbox(folders, changed(tools=("rank_by_next_item", "rank_by_magic")))


def test_a_tool_outside_the_suite_is_not_called(folders: tuple[Path, Path]) -> None:
    toolbox = load_toolbox(folders, changed(tools=("rank_by_next_item",)))

    with pytest.raises(ToolError, match="rank_by_similarity"):
        toolbox.call(all_tasks(toolbox)[0], "rank_by_similarity", {})


def test_no_answer_and_no_prompt_changes_when_everything_from_the_sample_on_is_altered(tmp_path: Path) -> None:
    before = load_toolbox(write_world(tmp_path / "before"))
    for task in all_tasks(before)[::4]:
        folders = write_world(tmp_path / f"after {task.sample.sample_id}")
        _alter_future(folders[0] / "interactions.parquet", task)
        after = load_toolbox(folders)
        same = Task(after.store.sample(task.sample.sample_id), task.candidates, "rank")
        assert answers(after, same) == answers(before, task)
        assert task_messages(same, after, AGENT) == task_messages(task, before, AGENT)


def _alter_future(path: Path, task: Task) -> None:
    """Let every interaction from the sample's time on, the target's own too, be with another candidate."""
    rows = pl.read_parquet(path)
    other = next(item for item in task.candidates if item != task.sample.target)
    future = pl.col("timestamp") >= task.sample.timestamp
    altered = rows.with_columns(pl.when(future).then(other).otherwise(pl.col("item")).cast(pl.Int32).alias("item"))
    assert not altered.equals(rows)
    altered.write_parquet(path)


def test_the_target_is_nowhere_to_be_seen(toolbox: Toolbox) -> None:
    for task in all_tasks(toolbox):
        other = next(item for item in task.candidates if item != task.sample.target)
        blind = dataclasses.replace(task, sample=dataclasses.replace(task.sample, target=other))
        fresh = Toolbox(toolbox.evidence, AGENT)
        assert answers(fresh, blind) == answers(toolbox, task)
        assert task_messages(blind, fresh, AGENT) == task_messages(task, toolbox, AGENT)


def test_history_is_newest_first_and_holds_no_more_than_asked(toolbox: Toolbox) -> None:
    task = all_tasks(toolbox)[0]
    fields = AGENT.tool_fields
    expected = [toolbox.item_text.line(event.item, fields) for event in reversed(task.sample.history[-2:])]

    lines = toolbox.call(task, "get_user_history", {"limit": 2}).splitlines()

    assert [line.rsplit(" | ", 2)[0] for line in lines] == expected
    assert lines[0].endswith(" | rated 4 | 10 days ago")


def test_popularity_window_changes_the_answer(toolbox: Toolbox) -> None:
    tasks = all_tasks(toolbox)

    recent, ever = ([toolbox.call(task, "rank_by_popularity", {"window": one}) for task in tasks] for one in
                    ("recent", "ever"))  # fmt: skip

    assert recent != ever


def test_groups_put_the_categories_of_the_history_first_and_name_each_candidate_twice(toolbox: Toolbox) -> None:
    for task in all_tasks(toolbox):
        lines = toolbox.call(task, "analyze_candidates", {}).splitlines()
        labels = [one for line in lines for one in line.rpartition(":")[2].split()]
        assert sorted(labels) == sorted("ABCDEF" * 2)
        assert any(toolbox.item_text.field(event.item, "category") == lines[0].rpartition(":")[0]
                   for event in task.sample.history)  # fmt: skip
