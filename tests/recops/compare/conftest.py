import shutil
from pathlib import Path

import pytest

from tests.recops.compare.evaluations import write_evaluations


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with the evaluation of a recipe and one of a trial."""
    root = tmp_path_factory.mktemp("compared")
    write_evaluations(root)
    return root


@pytest.fixture
def root(finished: Path, tmp_path: Path) -> Path:
    """The same, to be changed."""
    return shutil.copytree(finished, tmp_path / "root")
