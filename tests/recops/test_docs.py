"""The documentation: every link leads somewhere, and the site opens offline."""

import re
import shlex
from pathlib import Path
from typing import Any

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config
from typer.core import TyperGroup
from typer.main import get_command

from recops.cli import app
from recops.readme import with_results
from tests.pipeline.project import CHECKOUT

PAGES = sorted((CHECKOUT / "docs").rglob("*.md"))
LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")


def text_of(path: Path) -> str:
    """A page without its code, in which brackets are no links."""
    text = re.sub(r"^```.*?^```", "", path.read_text(encoding="utf-8"), flags=re.DOTALL | re.MULTILINE)
    return re.sub(r"`[^`\n]*`", "", text)


def anchors(path: Path) -> set[str]:
    """The names under which the headings of a page can be linked."""
    heads = re.findall(r"^#+ (.*)$", path.read_text(encoding="utf-8"), flags=re.MULTILINE)
    return {re.sub(r"[^\w\- ]", "", head).strip().lower().replace(" ", "-") for head in heads}


@pytest.mark.parametrize("page", [CHECKOUT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page: Path) -> None:
    for link in LINK.findall(text_of(page)):
        if re.match(r"[a-z]+:", link):
            continue
        target, _, anchor = link.partition("#")
        path = (page.parent / target).resolve() if target else page
        assert path.exists(), f"{page.name}: {link}"
        assert not anchor or anchor in anchors(path), f"{page.name}: {link}"


def test_every_page_has_a_way_to_it() -> None:
    linked = {
        (page.parent / link.partition("#")[0]).resolve()
        for page in [CHECKOUT / "README.md", *PAGES]
        for link in LINK.findall(text_of(page))
        if link.endswith(".md") or ".md#" in link
    }
    assert set(PAGES) - linked - {CHECKOUT / "docs" / "index.md"} == set()


def test_the_numbers_in_the_readme_are_those_of_the_results() -> None:
    text = (CHECKOUT / "README.md").read_text(encoding="utf-8")
    assert with_results(text, CHECKOUT) == text, "run: recops readme"
    assert text.count("<!-- method: ") == 4
    results = text.partition("\n## Results\n")[2].partition("\n## ")[0]
    said = set(re.findall(r"-?\.\d{3} \[-?\.\d{3,4}, -?\.\d{3,4}\]", results))
    page = (CHECKOUT / "docs" / "results.md").read_text(encoding="utf-8")
    assert len(said) > 50
    assert {one for one in said if one not in page} == set()


def test_the_site_is_built_strictly_and_asks_for_nothing_from_outside(tmp_path: Path) -> None:
    config = load_config(str(CHECKOUT / "mkdocs.yml"), site_dir=str(tmp_path / "site"))
    assert config.strict
    build(config)
    pages = sorted((tmp_path / "site").rglob("*.html"))
    assert len(pages) > len(PAGES)
    for page in pages:
        text = page.read_text(encoding="utf-8")
        assert not re.findall(r'<(?:script|link|img|iframe|source)\b[^>]*(?:src|href)="(?:https?:)?//', text), page
    for style in (tmp_path / "site").rglob("*.css"):
        assert not re.search(r"(?:url\(|@import )[\"']?(?:https?:)?//", style.read_text(encoding="utf-8")), style


STAND_FOR = {"STAGE": "raw_data", "JOB": "train_agent"}


def split_page(page: Path) -> tuple[list[str], list[str]]:
    """The lines of a page's blocks of code, without comments, and the code within its sentences."""
    block = re.compile(r"^```[a-z]*\n(.*?)^```", flags=re.DOTALL | re.MULTILINE)
    text = page.read_text(encoding="utf-8")
    lines = [line for block in block.findall(text) for line in block.replace("\\\n", " ").splitlines()]
    return [re.split(r"\s+#|[|>&]", line)[0] for line in lines], re.findall(r"`([^`\n]+)`", block.sub("", text))


def resolved(words: list[str]) -> tuple[Any, list[str]]:
    """The command that words call, and those that it is given."""
    command: Any = get_command(app)
    while words and not words[0].startswith("-") and isinstance(command, TyperGroup):
        assert words[0] in command.commands, f"no command {words[0]}"
        command, words = command.commands[words[0]], words[1:]
    return command, words


def calls(texts: list[str]) -> list[list[str]]:
    words = [shlex.split(text) for text in texts if re.match(r"(\.venv/bin/)?recops [a-z-]", text)]
    return [[STAND_FOR.get(word, word) for word in line[1:]] for line in words]


@pytest.mark.parametrize("page", [CHECKOUT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_command_of_a_page_is_one_that_recops_takes(page: Path) -> None:
    blocks, sentences = split_page(page)
    for line in calls(blocks):
        command, words = resolved(line)
        if "--help" not in words:
            command.make_context(command.name, words)
    # A sentence names a command, and shows of it what it speaks of.
    for line in calls(sentences):
        command, words = resolved(line)
        options = {name for one in command.params for name in one.opts} | {"--help"}
        assert {word.partition("=")[0] for word in words if word.startswith("-")} <= options, line


@pytest.mark.parametrize("page", [CHECKOUT / "README.md", *PAGES], ids=lambda page: page.name)
def test_every_target_of_make_that_a_page_names_is_there(page: Path) -> None:
    targets = set(re.findall(r"^([a-z-]+):", (CHECKOUT / "Makefile").read_text(encoding="utf-8"), flags=re.MULTILINE))
    blocks, sentences = split_page(page)
    named = {found[1] for text in (*blocks, *sentences) for found in re.finditer(r"(?:^|&& )make ([a-z-]+)", text)}
    assert named <= targets
