"""The report as one HTML page that opens offline: no script, style, font or picture is fetched from anywhere.

Jinja escapes every text; only drawings made here are inserted as they are. Item titles are data of strangers.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from markupsafe import Markup

from recops.config.evaluation_reports import EvaluationConfig
from recops.data.samples import SampleStore
from recops.evaluate.browser import ShownEpisode, shown_episodes, shown_positions
from recops.evaluate.curves import panels
from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.plots import Bar, bars_svg, curves_svg, differences_svg
from recops.evaluate.systems import Comparison
from recops.evaluate.wording import decimal, interval, learned_reading, metric_name, p_value, percent, system_name
from recops.metrics import METRICS
from recops.offline_page import page_environment

_TEMPLATES = Path(__file__).parent / "templates"
_METRICS_SHOWN = tuple(METRICS)
_HEADLINE_ORDER = ("best baseline", "reference", "predecessor")


@dataclass(frozen=True)
class Page:
    """What the page is rendered from."""

    metrics: dict[str, Any]
    details: dict[str, Any]
    comparison: Comparison
    curves: pl.DataFrame
    config: EvaluationConfig
    num_ranked: int
    seed: int


def render_page(page: Page, store: SampleStore) -> str:
    """Return the page; equal input gives equal text."""
    environment = page_environment(_TEMPLATES)
    environment.filters.update(
        system=system_name, metric=metric_name, decimal=decimal, percent=percent, p_value=p_value
    )
    environment.globals.update(interval=interval, named=_named, highest_of=_highest)
    return environment.get_template("page.html").render(
        page=page,
        metrics=page.metrics,
        details=page.details,
        names=_METRICS_SHOWN,
        agents=[agent.name for agent in page.comparison.agents],
        best=best_by_metric(page.metrics["systems"]),
        best_valid=best_by_metric(page.details["valid"]["systems"]),
        headline=headline(page),
        learned=_learned(page),
        planted=_planted(page),
        shown_parts=[part for part in ("warm", "cold") if page.details[part]["systems"]],
        drawings=_drawings(page),
        episodes=_episodes(page, store),
    )


def best_by_metric(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, float]:
    """Return the highest mean per metric, empty without systems; a tie marks every system that has it."""
    if not systems:
        return {}
    return {metric: max(values[metric]["mean"] for values in systems.values()) for metric in _METRICS_SHOWN}


def headline(page: Page) -> list[str]:
    """Return what the last agent is worth, in sentences.

    Against baselines, the best first, then against its predecessor, then between chance and the oracle where there is
    one.
    """
    last = page.comparison.agents[-1].name
    mine = [one for one in page.details["differences"] if one["system"] == last]
    sentences = [one["reading"] for one in sorted(mine, key=lambda one: _HEADLINE_ORDER.index(one["role"]))]
    learned = _learned(page)
    return [*sentences, learned_reading(last, learned[last]["all"])] if learned else sentences


def _learned(page: Page) -> dict[str, dict[str, float]]:
    """Share of the learnable by system and group of samples, best first; empty where no truth is known."""
    systems = page.details["learned"].get("systems", {})
    rows = {name: {group: cell["learned"] for group, cell in groups.items()} for name, groups in systems.items()}
    return dict(sorted(rows.items(), key=lambda row: -row[1]["all"]))


def _planted(page: Page) -> list[int]:
    """Samples of the planted case, where the data has one."""
    planted: list[int] = page.details["learned"].get("planted_case", [])
    return planted


def _named(rows: Mapping[str, Any]) -> dict[str, Any]:
    return {system_name(name): values for name, values in rows.items()}


def _highest(rows: Mapping[str, Mapping[str, float]]) -> float:
    """Return the highest value of a table, 1 when all are 0: what the strongest colour stands for."""
    return max((value for values in rows.values() for value in values.values()), default=0.0) or 1.0


def _drawings(page: Page) -> dict[str, Markup]:
    drawings = {"bars": _bars(page)}
    if page.details["differences"]:
        drawings["differences"] = _differences(page)
    lines = panels(page.curves)
    if lines:
        names = ", ".join(lines)
        drawings["curves"] = curves_svg(lines, alt=f"Training curves over steps, one panel per quantity: {names}.")
    # The drawings are made by `plots`, which escapes the text that it is given.
    return {name: Markup(drawing) for name, drawing in drawings.items()}


def _bars(page: Page) -> str:
    rows = {system.name: page.metrics["systems"][system.name][MAIN_METRIC] for system in page.comparison.systems}
    agents = {agent.name for agent in page.comparison.agents}
    bars = [Bar(system_name(name), **row, is_agent=name in agents) for name, row in rows.items()]
    told = "; ".join(f"{bar.name} {decimal(bar.mean)} {interval(bar.low, bar.high)}" for bar in bars)
    return bars_svg(bars, xlabel=metric_name(MAIN_METRIC), alt=f"{metric_name(MAIN_METRIC)} by system: {told}.")


def _differences(page: Page) -> str:
    bars = [
        Bar(_pair_name(one), one["mean"], one["low"], one["high"], is_agent=one["role"] == "predecessor")
        for one in page.details["differences"]
    ]
    told = " ".join(one["reading"] for one in page.details["differences"])
    xlabel = f"difference in {metric_name(MAIN_METRIC)}, right of 0: the first one is better"
    return differences_svg(bars, xlabel=xlabel, alt=f"Paired differences. {told}")


def _pair_name(difference: Mapping[str, Any]) -> str:
    return f"{system_name(difference['system'])} - {system_name(difference['against'])}"


def _episodes(page: Page, store: SampleStore) -> list[ShownEpisode]:
    """Episodes of the same samples, grouped by sample; those of the planted case first."""
    drawn = shown_positions(page.comparison, page.config.num_shown_episodes, page.seed)
    planted = np.flatnonzero(np.isin(page.comparison.sample_ids, _planted(page)))
    positions = np.concatenate([planted, np.setdiff1d(drawn, planted)])
    shown = [shown_episodes(agent, positions, store) for agent in page.comparison.agents]
    return [episode for of_sample in zip(*shown, strict=True) for episode in of_sample]
