import pytest

from recops.tools.toolbox import Toolbox
from tests.recops.agent.conftest import folders, toolbox
from tests.recops.tools.shop import load_shop

__all__ = ["folders", "shop", "toolbox"]


@pytest.fixture(scope="session")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Toolbox:
    return load_shop(tmp_path_factory.mktemp("shop"))
