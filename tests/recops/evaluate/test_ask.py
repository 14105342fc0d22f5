import pytest

from recops.errors import InputError
from recops.evaluate.ask import ask
from recops.paths import Layout
from tests.recops.evaluate.small_pipeline import NUM_CANDIDATES
from tests.recops.evaluate.test_recommend import recipe_with


def test_a_tool_is_asked_as_a_model_would_ask_it_whether_the_recipe_has_it_or_not(layout: Layout) -> None:
    asked = ask(layout, recipe_with(), "u2", tool="get_related_items", arguments={"item": "B"})

    assert [line[0] for line in asked.candidates] == list("ABCDEF")[:NUM_CANDIDATES]
    assert asked.answer.startswith(("Taken together:", "Same store: "))


@pytest.mark.parametrize(
    ("user", "tool", "arguments", "words"),
    [
        ("u2", "get_user_history", {"limit": 0}, "found 0; expected 1 to 50.*--arguments"),
        ("u2", "rank_by_magic", {}, "Known tools: get_user_profile"),
        ("nobody", "get_user_profile", {}, "a user of the recipe's data"),
    ],
)
def test_what_is_wrong_with_a_question_is_said(
    user: str, tool: str, arguments: dict[str, object], words: str, layout: Layout
) -> None:
    with pytest.raises(InputError, match=words):
        ask(layout, recipe_with(), user, tool=tool, arguments=arguments)
