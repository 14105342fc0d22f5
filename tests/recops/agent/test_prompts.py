import json
from pathlib import Path

import pytest

from recops.agent.prompts import THOUGHTS, answer_message, task_messages, tool_schemas
from recops.config.agent import AgentConfig
from recops.records import Task
from recops.tools.toolbox import TOOLS, Toolbox
from tests.recops.agent.world import AGENT, all_tasks, changed, load_toolbox

SNAPSHOT = Path(__file__).with_name("tool_schemas.json")


def user_message(task: Task, toolbox: Toolbox, agent: AgentConfig = AGENT) -> list[str]:
    return task_messages(task, toolbox, agent)[-1]["content"].splitlines()


def test_schemas_are_the_known_ones_for_they_are_part_of_the_prompt() -> None:
    assert tool_schemas(AGENT) == json.loads(SNAPSHOT.read_text(encoding="utf-8"))


def test_the_suite_decides_which_schemas_there_are() -> None:
    names = [one["function"]["name"] for one in tool_schemas(changed(tools=("rank_by_next_item", "get_item_info")))]

    assert names == ["get_item_info", "rank_by_next_item"]
    assert tool_schemas(changed(tools=())) == []


def test_every_tool_has_a_thought_of_its_own() -> None:
    assert set(THOUGHTS) == {*TOOLS, "answer"}
    assert len(set(THOUGHTS.values())) == len(THOUGHTS)
    assert all("\n" not in thought for thought in THOUGHTS.values())


def test_a_prompt_is_the_request_the_history_oldest_first_and_the_labels(toolbox: Toolbox) -> None:
    task = all_tasks(toolbox)[1]
    history = [toolbox.item_text.field(event.item, "category") for event in task.sample.history]

    assert user_message(task, toolbox) == [
        "Rank the 4 candidates most likely to be taken next.",
        "History:",
        *history,
        "Candidates: A to F",
    ]


def test_a_pair_asks_for_one_of_two(toolbox: Toolbox) -> None:
    more, less = (user_message(all_tasks(toolbox, direction)[0], toolbox) for direction in ("more", "less"))

    assert more[0] == "Which of the two is MORE likely to be taken next?"
    assert less[0] == "Which of the two is LESS likely to be taken next?"
    assert more[-1] == less[-1] == "Candidates: A to B"


@pytest.mark.parametrize(
    "change",
    [
        {"num_ranked": 3},
        {"history_length": 2},
        {"history_fields": ("category", "store")},
        {"candidate_fields": ("title", "rating")},
        {"candidate_fields": ("title",), "max_title_characters": 12},
    ],
)
def test_every_field_of_the_recipe_changes_the_prompt(
    change: dict[str, object], folders: tuple[Path, Path], toolbox: Toolbox
) -> None:
    task = all_tasks(toolbox)[2]
    base = {"candidate_fields": ("title",)} if "max_title_characters" in change else {}
    other = changed(**change)

    assert user_message(task, load_toolbox(folders, other), other) != user_message(task, toolbox, changed(**base))


def test_a_candidate_line_begins_with_its_label(folders: tuple[Path, Path]) -> None:
    agent = changed(candidate_fields=("category", "price"))
    toolbox = load_toolbox(folders, agent)
    task = all_tasks(toolbox)[0]

    lines = user_message(task, toolbox, agent)

    assert lines[-6].startswith(" A | ")
    assert lines[-1] == f" F | {toolbox.item_text.line(task.candidates[5], agent.candidate_fields)}"


def test_the_answer_to_a_pair_says_what_was_asked() -> None:
    assert answer_message(["B"], "less")["content"] == "I name the LESS likely one.\nAnswer: B"
    assert answer_message(["B"], "more")["content"] == "I name the MORE likely one.\nAnswer: B"
    assert answer_message(["B"])["content"] == "I know enough.\nAnswer: B"
