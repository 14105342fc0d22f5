import pytest

from recops.tools.habits import HABIT_WORDS, habit_line, habit_word, read_habits


@pytest.mark.parametrize(
    ("values", "word"),
    [
        ([], "too early to tell"),
        (["a"], "too early to tell"),
        (["a", "b"], "never"),
        (["a", "b", "c", "a"], "sometimes"),
        (["a", "b", "a"], "often"),
        (["a", "a"], "often"),
    ],
)
def test_a_habit_is_the_share_of_items_whose_value_came_before(values: list[str], word: str) -> None:
    assert habit_word(values) == word
    assert word in HABIT_WORDS


def test_habits_are_read_back_from_a_profile() -> None:
    profile = "\n".join([habit_line("categories", "often"), "Price: low, median $3.00", habit_line("stores", "never")])

    assert read_habits(profile) == {"categories": "often", "stores": "never"}
    assert read_habits("No history.") == {}
