"""The episodes of docs/agent.md, one of each loop: `python -m tests.recops.agent.episodes_page` writes them."""

import json
import re
import tempfile
from pathlib import Path
from typing import get_args

import numpy as np

from recops.agent.experts import fit_script
from recops.agent.prompts import task_messages
from recops.agent.script import scripted_episode
from recops.config.agent import AgentConfig, Loop
from recops.tools.toolbox import Toolbox
from tests.pipeline.project import CHECKOUT
from tests.recops.agent.test_experts import CONFIG
from tests.recops.agent.world import all_tasks, changed, load_toolbox, write_world

PAGE = CHECKOUT / "docs" / "agent.md"
BLOCK = re.compile(r"<!-- episodes -->\n.*<!-- end of episodes -->", re.DOTALL)
ONCE_MORE = CONFIG.model_copy(update={"min_orders": 2, "max_orders": 3, "explore_fraction": 0.0, "look_fraction": 0.0})


def episodes(folders: tuple[Path, Path]) -> str:
    """Return what the scripted expert writes for the same task in each loop, as Markdown."""
    parts = []
    for loop in get_args(Loop):
        agent = changed(loop=loop, profile_parts=("habits",))
        toolbox = load_toolbox(folders, agent)
        parts.append(f"`{loop}`:\n\n```text\n{_episode(toolbox, agent)}\n```")
    return "<!-- episodes -->\n" + "\n\n".join(parts) + "\n<!-- end of episodes -->"


def _episode(toolbox: Toolbox, agent: AgentConfig) -> str:
    task = all_tasks(toolbox)[3]
    script = fit_script(toolbox, ONCE_MORE, agent, seed=1)
    played = scripted_episode(task, toolbox, agent, np.random.default_rng(2), script=script)
    lines = []
    for message in (*task_messages(task, toolbox, agent), *played.messages):
        calls = [json.dumps(call["function"]) for call in message.get("tool_calls") or ()]
        lines.append(f"[{message['role']}]\n" + "\n".join([message["content"], *calls]))
    return "\n".join(lines)


def write_episodes() -> None:
    """Put the current episodes in the place of those on the page."""
    with tempfile.TemporaryDirectory() as folder:
        block = episodes(write_world(Path(folder)))
    text = PAGE.read_text(encoding="utf-8")
    assert BLOCK.search(text), f"{PAGE} has no block of episodes"
    PAGE.write_text(BLOCK.sub(lambda _: block, text), encoding="utf-8")


if __name__ == "__main__":
    write_episodes()
