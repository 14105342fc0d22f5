"""One real run of the small recipe, through the command line, shared by the tests that look at what it left."""

import subprocess
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.pipeline.project import RECIPE, Project, commit, create_project


@dataclass(frozen=True)
class FinishedRun:
    """A project after `recops run`, with what the command printed."""

    project: Project
    output: str


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> FinishedRun:
    project = create_project(tmp_path_factory.mktemp("finished") / "checkout")
    done: subprocess.CompletedProcess[str] = project.run("python", "-m", "recops.cli", "run", "--recipe", RECIPE)
    commit(project, "After the run")
    return FinishedRun(project, done.stdout)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    return create_project(tmp_path / "checkout")
