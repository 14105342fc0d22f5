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
def policy(toolbox: Toolbox) -> LocalPolicy:
    return tiny_policy(toolbox)
