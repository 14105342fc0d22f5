"""The example answers of docs/agent.md, of the small shop: `python -m tests.recops.tools.examples` writes them."""

import re
import tempfile
from pathlib import Path
from typing import Any

from recops.records import Task, label
from recops.tools.budget import BUDGETS
from recops.tools.toolbox import Toolbox
from tests.pipeline.project import CHECKOUT
from tests.recops.tools.shop import load_shop, tasks

PAGE = CHECKOUT / "docs" / "agent.md"
BLOCK = re.compile(r"<!-- examples -->\n.*<!-- end of examples -->", re.DOTALL)
CALLS: dict[str, dict[str, Any]] = {
    "get_user_profile": {},
    "get_user_history": {"limit": 3},
    "get_session_behavior": {},
    "get_rating_behavior": {},
    "get_item_info": {"candidate": "A"},
    "get_related_items": {"item": "A"},
    "analyze_candidates": {},
    "rank_by_popularity": {"window": "ever"},
    "get_similar_items": {"item": "A"},
    "get_similar_users": {},
    "rank_by_next_item": {},
    "rank_by_taken_together": {},
    "rank_by_similarity": {},
    "search_catalog": {"query": "a teal kettle by Harbour"},
}


def example_task(toolbox: Toolbox) -> Task:
    """The last sample of the shop: a long history."""
    return tasks(toolbox)[-1]


def examples(toolbox: Toolbox) -> str:
    """Return every tool's answer about one sample, as Markdown."""
    task = example_task(toolbox)
    context = toolbox.context(task)
    candidates = [f"{label(place)}: {context.field(item, 'title')}" for place, item in enumerate(task.candidates)]
    parts = [f"Candidates: {'; '.join(candidates)}."]
    for name, arguments in CALLS.items():
        written = ", ".join(f'{key}="{value}"' if isinstance(value, str) else f"{key}={value}" for key, value in
                            arguments.items())  # fmt: skip
        head = f"`{name}({written})`, at most {BUDGETS[name]:,} characters:"
        parts.append(f"{head}\n\n```text\n{toolbox.call(task, name, arguments)}\n```")
    return "<!-- examples -->\n" + "\n\n".join(parts) + "\n<!-- end of examples -->"


def write_examples() -> None:
    """Put the current examples in the place of those on the page."""
    with tempfile.TemporaryDirectory() as folder:
        block = examples(load_shop(Path(folder)))
    text = PAGE.read_text(encoding="utf-8")
    assert BLOCK.search(text), f"{PAGE} has no block of examples"
    PAGE.write_text(BLOCK.sub(lambda _: block, text), encoding="utf-8")


if __name__ == "__main__":
    write_examples()
