from recops.tools.toolbox import TOOLS, Toolbox
from tests.recops.tools.examples import BLOCK, CALLS, PAGE, examples


def test_the_answers_on_the_page_are_those_of_the_tools(shop: Toolbox) -> None:
    found = BLOCK.search(PAGE.read_text(encoding="utf-8"))

    assert found
    assert found.group() == examples(shop), "Run: python -m tests.recops.tools.examples"


def test_every_tool_has_an_example_and_a_row() -> None:
    page = PAGE.read_text(encoding="utf-8")

    assert list(CALLS) == list(TOOLS)
    assert all(f"| `{name}` |" in page for name in TOOLS)
