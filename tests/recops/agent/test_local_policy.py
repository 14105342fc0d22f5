import json
import shutil
from pathlib import Path

import pytest

from recops.agent.chat import Chat
from recops.agent.local_policy import LocalPolicy
from recops.agent.prompts import task_messages, tool_schemas
from recops.agent.rollout import play
from recops.errors import InputError
from recops.tools.toolbox import Toolbox
from recops.train.models import save_policy
from tests.recops.agent.world import AGENT, all_tasks, changed


@pytest.fixture(scope="module")
def folder(policy: LocalPolicy, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("saved")
    save_policy(policy.model, policy.tokenizer, path, max_new_tokens=64)
    return path


def test_the_saved_folder_alone_gives_the_same_prompts_and_turns(
    folder: Path, policy: LocalPolicy, toolbox: Toolbox
) -> None:
    opened = LocalPolicy.load(folder)
    tools, tasks = tool_schemas(AGENT), all_tasks(toolbox)[:3]
    prompts = [task_messages(task, toolbox, AGENT) for task in tasks]

    assert (folder / "chat_template.jinja").read_text(encoding="utf-8") == policy.tokenizer.chat_template
    rendered = [
        one.tokenizer.apply_chat_template(prompts[0], tools=tools, add_generation_prompt=True, tokenize=False)
        for one in (opened, policy)
    ]
    assert rendered[0].encode() == rendered[1].encode()
    assert Chat(opened.tokenizer, tools).prompts(prompts) == Chat(policy.tokenizer, tools).prompts(prompts)
    turns = [[{"role": "tool", "name": "rank_by_next_item", "content": "Order: B A"}]]
    assert Chat(opened.tokenizer, tools).tool_turns(turns) == Chat(policy.tokenizer, tools).tool_turns(turns)


def test_the_generation_configuration_is_complete(folder: Path) -> None:
    config = json.loads((folder / "generation_config.json").read_text(encoding="utf-8"))
    opened = LocalPolicy.load(folder)

    assert config["do_sample"] is False
    assert config["num_beams"] == 1
    assert config["repetition_penalty"] == 1.0
    assert config["max_new_tokens"] == 64
    assert config["eos_token_id"] == opened.tokenizer.eos_token_id
    assert config["pad_token_id"] == opened.tokenizer.pad_token_id


def test_a_tokenizer_without_chat_template_is_refused(folder: Path, tmp_path: Path) -> None:
    bare = shutil.copytree(folder, tmp_path / "bare")
    (bare / "chat_template.jinja").unlink()

    with pytest.raises(InputError, match="found a tokenizer without chat template; expected a template that renders"):
        LocalPolicy.load(bare)


def test_a_template_whose_calls_nobody_can_parse_is_refused(folder: Path, tmp_path: Path) -> None:
    other = shutil.copytree(folder, tmp_path / "other")
    (other / "chat_template.jinja").write_text("{% for m in messages %}{{ m.content }}{% endfor %}", encoding="utf-8")
    settings = json.loads((other / "tokenizer_config.json").read_text(encoding="utf-8"))
    for key in ("response_template", "response_schema"):
        settings.pop(key, None)
    (other / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")

    with pytest.raises(InputError, match="expected a known chat template"):
        LocalPolicy.load(other)


def test_a_context_that_does_not_fit_is_said_with_its_numbers(policy: LocalPolicy, toolbox: Toolbox) -> None:
    tasks = all_tasks(toolbox)[:2]
    chat = Chat(policy.tokenizer, tool_schemas(AGENT))
    longest = max(map(len, chat.prompts([task_messages(task, toolbox, AGENT) for task in tasks])))
    room = policy.model.config.max_position_embeddings - longest

    settings = {"temperature": 0.0, "seed": 1, "batch_size": 2}
    assert len(play(policy, tasks, toolbox, changed(max_completion_tokens=room), **settings)) == 2
    with pytest.raises(InputError, match=rf"{longest} tokens of prompt \(sample \d+\) and {room + 1} of completion"):
        play(policy, tasks, toolbox, changed(max_completion_tokens=room + 1), **settings)
