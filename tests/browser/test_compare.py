"""The comparison of two evaluations, opened as a file: what differs, the systems, a sample as both runs played it."""

import os
import re
from pathlib import Path

import pytest
from playwright.sync_api import Page, expect

from recops.compare.comparison import RunComparison, compare_runs
from recops.compare.page import write_page
from tests.recops.compare.evaluations import TRIAL, write_evaluations

pytestmark = pytest.mark.timeout(600)

COMPARED = "RECOPS_BROWSER_COMPARED"
"""Variable of the environment: folders of finished evaluations to look at, rather than two small ones."""


@pytest.fixture(scope="module")
def comparison(tmp_path_factory: pytest.TempPathFactory) -> RunComparison:
    root = tmp_path_factory.mktemp("compared")
    given = os.environ.get(COMPARED)
    if given:
        return compare_runs(root, given.split(os.pathsep))
    write_evaluations(root)
    return compare_runs(root, ["small", TRIAL[:8]])


@pytest.fixture
def opened(page: Page, comparison: RunComparison, tmp_path: Path) -> Page:
    """The page of the comparison, which asks no network for anything."""
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto(write_page(comparison, tmp_path / "compare.html").as_uri())
    assert all(url.startswith(("file:", "data:")) for url in asked), asked
    return page


def test_two_evaluations_differ_in_settings_and_systems(opened: Page, comparison: RunComparison) -> None:
    first, second = (one.label for one in comparison.evaluations)
    expect(opened.get_by_role("heading", name="2 runs compared")).to_be_visible()
    settings = opened.locator("table.settings tbody tr")
    assert settings.count() == len(comparison.settings) > 0
    table = opened.locator("table").filter(has=opened.locator("caption")).first
    assert table.locator("thead th").all_text_contents() == ["System", first, second, f"to {first}"]
    differences = table.locator("tr.agent td:last-child").all_text_contents()
    assert any(re.match(r"[-−]?\d?\.\d", text.strip()) for text in differences), differences
    opened.get_by_role("heading", name="Systems").scroll_into_view_if_needed()


def test_a_sample_is_opened_as_both_runs_played_it(opened: Page, comparison: RunComparison) -> None:
    first, second = (one.label for one in comparison.evaluations)
    agent = "GRPO"
    opened.locator("#one").select_option(label=f"{first}: {agent}")
    opened.locator("#other").select_option(label=f"{second}: {agent}")
    changed = opened.locator("#rows tr").count()
    opened.locator("#change").select_option("won")
    won = opened.locator("#rows tr").count()
    opened.locator("#change").select_option("lost")
    assert won + opened.locator("#rows tr").count() == changed >= won > 0
    opened.locator("#change").select_option("won")
    opened.locator("#rows tr").first.click()
    sides = opened.locator("#shown > .sides").last.locator("> div")
    expect(sides).to_have_count(2)
    for side, label in zip((sides.nth(0), sides.nth(1)), (first, second), strict=True):
        expect(side.get_by_role("heading")).to_have_text(f"{label}: {agent}")
        expect(side.locator(".turn").first).to_be_visible()
    opened.locator("#shown").scroll_into_view_if_needed()
