"""The real servers of a finished small project, and a headless Chromium that keeps a picture of what it saw."""

import os
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import pytest
from playwright.sync_api import Browser, Page, Playwright, expect, sync_playwright

from tests.pipeline.project import RECIPE, Project, commit, create_project

PICTURES = "RECOPS_BROWSER_PICTURES"
"""Variable of the environment: the folder in which the pictures of the screens are kept."""
PROJECT = "RECOPS_BROWSER_PROJECT"
"""Variable of the environment: a finished small project to look at, rather than to run one."""
CHROMIUM = ("chromium", "chromium-browser", "google-chrome")
_SECONDS_TO_START = 120.0
_MILLISECONDS_TO_SHOW = 60_000


@dataclass(frozen=True)
class Servers:
    """Where the pages of a project are."""

    project: Project
    dagster: str
    mlflow: str


@pytest.fixture(scope="session")
def finished(tmp_path_factory: pytest.TempPathFactory) -> Project:
    given = os.environ.get(PROJECT)
    if given:
        return Project(Path(given))
    project = create_project(tmp_path_factory.mktemp("browser") / "checkout")
    project.run("python", "-m", "recops.cli", "run", "--recipe", RECIPE)
    commit(project, "After the run")
    return project


@pytest.fixture(scope="session")
def servers(finished: Project) -> Iterator[Servers]:
    dagster, mlflow = free_ports(2)
    ports = ("--dagster-port", str(dagster), "--mlflow-port", str(mlflow))
    process = finished.start("python", "-m", "jobs.ui", *ports)
    try:
        for port in (dagster, mlflow):
            wait_for(port, process)
        yield Servers(finished, f"http://127.0.0.1:{dagster}", f"http://127.0.0.1:{mlflow}")
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)


def free_ports(count: int) -> list[int]:
    """Ports that nobody has: held together, so that they differ."""
    sockets = [socket.socket() for _ in range(count)]
    for one in sockets:
        one.bind(("127.0.0.1", 0))
    ports = [one.getsockname()[1] for one in sockets]
    for one in sockets:
        one.close()
    return ports


def wait_for(port: int, process: subprocess.Popen[str]) -> None:
    deadline = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < deadline:
        assert process.poll() is None, process.communicate()
        with socket.socket() as probe:
            if probe.connect_ex(("127.0.0.1", port)) == 0:
                return
        time.sleep(0.3)
    raise AssertionError(f"nothing answers at port {port}")


@pytest.fixture(scope="session")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = Path(os.environ.get(PICTURES) or tmp_path_factory.mktemp("pictures"))
    folder.mkdir(parents=True, exist_ok=True)
    return folder


@pytest.fixture(scope="session")
def playwright() -> Iterator[Playwright]:
    with sync_playwright() as playwright:
        yield playwright


@pytest.fixture(scope="session")
def browser(playwright: Playwright) -> Iterator[Browser]:
    executable = next(filter(None, map(shutil.which, CHROMIUM)), None)
    assert executable, f"no {', '.join(CHROMIUM)} on the PATH: install Chromium"
    # Without its sandbox, which a container's root user cannot have; it opens pages of this machine alone.
    browser = playwright.chromium.launch(executable_path=executable, args=["--no-sandbox"])
    yield browser
    browser.close()


@pytest.fixture
def page(browser: Browser, pictures: Path, request: pytest.FixtureRequest) -> Iterator[Page]:
    """A page of a browser that was never here; its last screen is kept, also when the test fails."""
    context = browser.new_context(viewport={"width": 1400, "height": 900}, reduced_motion="reduce")
    page = context.new_page()
    page.set_default_timeout(_MILLISECONDS_TO_SHOW)
    expect.set_options(timeout=_MILLISECONDS_TO_SHOW)
    yield page
    for number, one in enumerate(context.pages):
        name = request.node.name.removeprefix("test_") + (f"_{number}" if number else "")
        one.screenshot(path=pictures / f"{name}.png")
    context.close()
