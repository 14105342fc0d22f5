"""vLLM needs a GPU: here its loop is played with `generate`, and its absence is looked at."""

import importlib.util
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import pytest
import torch

from recops.agent.backends import load_policy
from recops.agent.chat import Chat
from recops.agent.local_policy import LocalPolicy
from recops.agent.lockstep import play_in_lockstep
from recops.agent.player import Player, players_of
from recops.agent.prompts import tool_schemas
from recops.agent.rollout import rollouts
from recops.errors import InputError
from recops.tools.toolbox import Toolbox
from tests.recops.agent.world import AGENT, all_tasks, changed

HAS_VLLM = importlib.util.find_spec("vllm") is not None


@pytest.mark.parametrize("limit", [AGENT.max_completion_tokens, 16, 20, 24, 28])
def test_greedy_turns_of_generate_give_the_episodes_of_the_slots(
    limit: int, policy: LocalPolicy, toolbox: Toolbox
) -> None:
    agent = changed(max_completion_tokens=limit)
    tasks = all_tasks(toolbox)[:6]

    def generate(players: Sequence[Player]) -> list[list[int]]:
        turns = []
        for player in players:
            read = torch.tensor([player.prompt + player.written])
            left = limit - len(player.written)
            with torch.inference_mode():
                ids = policy.model.generate(
                    read, attention_mask=torch.ones_like(read), max_new_tokens=left, do_sample=False
                )
            turns.append(ids[0, read.shape[1] :].tolist())
        return turns

    chat = Chat(policy.tokenizer, tool_schemas(agent))
    players = players_of(tasks, toolbox, agent, chat=chat, max_positions=512)
    in_lockstep = play_in_lockstep(players, chat, generate, policy.stop_ids)

    assert in_lockstep == rollouts(policy, tasks, toolbox, agent, temperature=0, seed=1, batch_size=4)


@pytest.mark.skipif(HAS_VLLM, reason="vLLM is installed")
def test_without_vllm_the_engine_names_what_to_install(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"pip install 'recops\[vllm\]'"):
        load_policy(tmp_path, "vllm")


def test_no_module_of_ours_imports_vllm() -> None:
    seen = "import sys, recops.agent.vllm_policy, recops.agent.backends; print([m for m in sys.modules if 'vllm' in m])"
    found = subprocess.run([sys.executable, "-c", seen], capture_output=True, text=True, check=True).stdout
    assert found.strip() == "['recops.agent.vllm_policy']"


@pytest.mark.skipif(not HAS_VLLM or not torch.cuda.is_available(), reason="needs vLLM and a GPU")
def test_vllm_gives_the_greedy_episodes_of_the_local_policy(
    policy: LocalPolicy, toolbox: Toolbox, tmp_path: Path
) -> None:
    from recops.agent.rollout import play
    from recops.train.models import save_policy

    save_policy(policy.model, policy.tokenizer, tmp_path, max_new_tokens=AGENT.max_completion_tokens)
    tasks = all_tasks(toolbox)[:6]
    settings = {"temperature": 0.0, "seed": 1, "batch_size": 6}

    played = play(load_policy(tmp_path, "vllm"), tasks, toolbox, AGENT, **settings)

    expected = play(LocalPolicy.load(tmp_path), tasks, toolbox, AGENT, **settings)
    assert [episode.calls for episode in played] == [episode.calls for episode in expected]
    assert [episode.answer for episode in played] == [episode.answer for episode in expected]
