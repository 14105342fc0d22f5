"""The page of the evaluation, opened as a file: no server, no network."""

import re
from typing import Literal

import pytest
from playwright.sync_api import Page, expect

from recops.artifacts import read_json
from recops.paths import Layout
from tests.pipeline.project import RECIPE, Project

pytestmark = pytest.mark.timeout(1800)

COLOURS = """const colours = (one, part) => {
  const style = getComputedStyle(one, part);
  return [style.color, style.backgroundColor];
};"""
"""Text and background of an element, as the browser computes them."""


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


@pytest.mark.parametrize("change", ["changed", "won", "lost", "same"])
def test_episodes_that_changed_between_two_agents_are_filtered(page: Page, finished: Project, change: str) -> None:
    open_report(page, finished)
    ranks: dict[tuple[str, str], int] = {}
    for one in page.locator("details.episode").all():
        sample, system, rank = (one.get_attribute(f"data-{name}") for name in ("sample", "system", "rank"))
        ranks[str(sample), str(system)] = int(str(rank))
    first, second = "base_policy", "grpo_model"
    gained = {sample: ranks[sample, first] - ranks[sample, second] for sample, _ in ranks}
    is_meant = {"changed": lambda gain: gain != 0, "won": lambda gain: gain > 0, "lost": lambda gain: gain < 0}
    wanted = {sample for sample, gain in gained.items() if is_meant.get(change, lambda gain: gain == 0)(gain)}
    page.locator("#filter-one").select_option(first)
    page.locator("#filter-other").select_option(second)
    page.locator("#filter-change").select_option(change)
    found = page.locator("details.episode:visible").evaluate_all(
        "all => all.map(({dataset}) => [dataset.sample, dataset.system])"
    )
    assert sorted(map(tuple, found)) == sorted((sample, system) for sample in wanted for system in (first, second))
    expect(page.locator("#filter-count")).to_have_text(f"{2 * len(wanted)} episodes")


def test_the_reports_other_outcomes_are_filtered(page: Page, finished: Project) -> None:
    open_report(page, finished)
    counts = {}
    for outcome in ("won", "lost", "invalid"):
        page.get_by_label("Outcome").select_option(outcome)
        counts[outcome] = shown(page)
        assert page.locator(f"details.episode:visible:not([data-outcome='{outcome}'])").count() == 0
    page.get_by_label("Outcome").select_option("")
    assert sum(counts.values()) == shown(page)


def test_another_system_is_chosen_to_compare_with(page: Page, finished: Project) -> None:
    open_report(page, finished)
    artefact = Layout(finished.root, RECIPE).artefact("evaluation_reports")
    against = read_json(artefact / "details.json")["against"]
    names = [str(name) for name in page.locator("#choice option").evaluate_all("all => all.map((one) => one.value)")]
    assert sorted(names) == sorted(against)
    for name in (names[0], names[-1]):
        page.locator("#choice").select_option(name)
        rows = page.locator("#against tbody:visible tr")
        assert rows.count() == len(names) - 1
        means = [f"{one['mean']:.3f}".replace("0.", ".") for one in against[name].values()]
        texts = rows.locator("td:nth-of-type(1)").all_inner_texts()
        assert sorted(text.split("[")[0].strip() for text in texts) == sorted(means)


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_the_report_is_readable_in_light_and_dark(
    page: Page, finished: Project, scheme: Literal["light", "dark"]
) -> None:
    page.emulate_media(color_scheme=scheme)
    open_report(page, finished)
    ink, paper = page.locator("body").evaluate(f"(body) => {{ {COLOURS} return colours(body); }}")
    assert contrast(ink, paper) >= 7
    assert (luminance(paper) > 0.5) == (scheme == "light")
    cells = page.locator(".heat td").evaluate_all(
        f"(all) => {{ {COLOURS} return all.map((one) => [...colours(one), colours(one.closest('.card'))[1]]); }}"
    )
    assert cells
    assert min(contrast(text, over(shade, card)) for text, shade, card in cells) >= 4.5
    keys = page.locator(".card .key-agent, .card .key-baseline").evaluate_all(
        f"(all) => {{ {COLOURS} return all.map("
        "(one) => [colours(one, '::before')[1], colours(one.closest('.card'))[1]]); }"
    )
    assert keys
    assert min(contrast(graphic, card) for graphic, card in keys) >= 3
    pictures = page.locator("svg[role=img], img").all()
    assert pictures
    assert all(one.get_attribute("aria-label") or one.get_attribute("alt") for one in pictures)


def contrast(one: str, other: str) -> float:
    """The contrast of two colours as WCAG defines it: 1 to 21."""
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


def luminance(colour: str) -> float:
    parts = [part / 255 for part in channels(colour)[:3]]
    red, green, blue = (part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def over(shade: str, paper: str) -> str:
    """The colour of a shade that lets its paper through."""
    *parts, opacity = (*channels(shade), 1.0)[:4]
    mixed = (opacity * one + (1 - opacity) * other for one, other in zip(parts, channels(paper), strict=False))
    return f"rgb({', '.join(map(str, mixed))})"


def channels(colour: str) -> list[float]:
    return [float(part) for part in re.findall(r"[\d.]+", colour)]


def test_the_reports_table_is_sorted_by_a_click(page: Page, finished: Project) -> None:
    open_report(page, finished)
    table = page.locator("table.sortable").first
    button = table.locator("thead button").last
    button.click()
    head = table.locator("th[aria-sort]")
    expect(head).to_have_attribute("aria-sort", "descending")
    button.click()
    expect(head).to_have_attribute("aria-sort", "ascending")
