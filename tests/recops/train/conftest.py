from pathlib import Path

import pytest

from recops.agent.local_policy import LocalPolicy
from recops.tools.toolbox import Toolbox
from tests.recops.agent.world import load_toolbox, tiny_policy, write_world


@pytest.fixture(scope="session")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    return write_world(tmp_path_factory.mktemp("world"))


@pytest.fixture(scope="session")
def toolbox(folders: tuple[Path, Path]) -> Toolbox:
    return load_toolbox(folders)


@pytest.fixture(scope="session")
def policy_folder(toolbox: Toolbox, tmp_path_factory: pytest.TempPathFactory) -> Path:
    from recops.train.models import save_policy

    policy = tiny_policy(toolbox, steps=80)
    folder = tmp_path_factory.mktemp("policy")
    save_policy(policy.model, policy.tokenizer, folder, max_new_tokens=64)
    return folder


@pytest.fixture
def policy(policy_folder: Path) -> LocalPolicy:
    from recops.train.models import load_trainable

    return LocalPolicy(*load_trainable(policy_folder))
