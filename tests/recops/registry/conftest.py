import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest

from recops.config.recipe import load_recipe
from recops.paths import Layout
from recops.registry.register import register
from recops.tracking import prepare_store, store_uri
from tests.recops.registry.project import NAME, write_project


@pytest.fixture(scope="package")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A project whose policy was trained and evaluated, and a store of MLflow in which nothing is registered."""
    layout = write_project(tmp_path_factory.mktemp("finished"))
    prepare_store(layout.root, NAME)
    return layout


@pytest.fixture
def layout(finished: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Layout:
    """A copy to change; to copy the store is ten times as fast as to make one."""
    monkeypatch.delenv("MLFLOW_TRACKING_URI", raising=False)  # which `mlflow.set_tracking_uri` sets
    return Layout(shutil.copytree(finished.root, tmp_path / "root"), NAME)


@pytest.fixture(scope="module")
def registered(finished: Layout, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Layout]:
    """A copy in which the policy is registered, and into whose store MLflow's own functions look."""
    layout = Layout(shutil.copytree(finished.root, tmp_path_factory.mktemp("registered") / "root"), NAME)
    register(layout, load_recipe(layout.recipe_file))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("MLFLOW_TRACKING_URI", store_uri(layout.root))  # not `set_tracking_uri`, which outlives the test
        yield layout
