"""The page of the evaluation, opened as a file: no server, no network."""

import re

import pytest
from playwright.sync_api import Page, expect

from recops.paths import Layout
from tests.pipeline.project import RECIPE, Project

pytestmark = pytest.mark.timeout(1800)


def open_report(page: Page, finished: Project) -> None:
    asked: list[str] = []
    page.on("request", lambda request: asked.append(request.url))
    page.goto((Layout(finished.root, RECIPE).artefact("evaluation_reports") / "report.html").as_uri())
    assert all(url.startswith(("file:", "data:")) for url in asked), asked


def shown(page: Page) -> int:
    return page.locator("details.episode:visible").count()


def test_the_report_opens_without_a_network(page: Page, finished: Project) -> None:
    open_report(page, finished)
    expect(page.get_by_role("row", name=re.compile("LambdaMART")).first).to_be_visible()
    assert page.locator("svg, img").count() > 0


def test_the_reports_episodes_are_filtered(page: Page, finished: Project) -> None:
    open_report(page, finished)
    everything = shown(page)
    page.get_by_label("Agent").first.select_option("grpo_model")
    of_one = shown(page)
    assert 0 < of_one < everything
    expect(page.locator("#filter-count")).to_have_text(f"{of_one} episodes")
    page.get_by_label("Outcome").select_option("lost")
    lost = shown(page)
    assert lost < of_one
    expect(page.locator("details.episode:visible .outcome:text-is('won')")).to_have_count(0)
    page.locator("details.episode:visible summary").first.click()
    page.locator("#filter-count").scroll_into_view_if_needed()
    expect(page.locator("details.episode[open] .turn").first).to_be_visible()


def test_the_reports_table_is_sorted_by_a_click(page: Page, finished: Project) -> None:
    open_report(page, finished)
    table = page.locator("table.sortable").first
    button = table.locator("thead button").last
    button.click()
    head = table.locator("th[aria-sort]")
    expect(head).to_have_attribute("aria-sort", "descending")
    button.click()
    expect(head).to_have_attribute("aria-sort", "ascending")
