"""The documentation: every link leads somewhere, and the site opens offline."""

import re
from pathlib import Path

import pytest
from mkdocs.commands.build import build
from mkdocs.config import load_config

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


def test_a_command_that_the_pages_name_exists() -> None:
    from typer.main import get_command

    from recops.cli import app

    known = set(getattr(get_command(app), "commands"))  # noqa: B009
    pages = [CHECKOUT / "README.md", *PAGES]
    named = {
        (page.name, command)
        for page in pages
        for command in re.findall(
            r"(?:^|`)(?:\.venv/bin/)?recops ([a-z][a-z-]*)", page.read_text("utf-8"), re.MULTILINE
        )
    }
    assert {(page, command) for page, command in named if command not in known} == set()
