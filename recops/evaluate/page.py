"""The report as one HTML page that opens offline: no script, style, font or picture is fetched from anywhere.

Jinja escapes every text; only drawings made here are inserted as they are. Item titles are data of strangers.
"""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.config.evaluation_reports import EvaluationConfig
from recops.config.validated_splits import DrawnNegatives
from recops.data.samples import SampleStore
from recops.evaluate.browser import ShownEpisode, shown_episodes, shown_positions
from recops.evaluate.latency import Latency
from recops.evaluate.page_drawings import curve_drawings, differences_drawing, systems_drawing, trust_drawing
from recops.evaluate.paired import MAIN_METRIC, best_system
from recops.evaluate.systems import Comparison
from recops.evaluate.wording import decimal, interval, learned_reading, metric_name, p_value, percent, system_name
from recops.metrics import METRICS
from recops.offline_page import page_environment

_TEMPLATES = Path(__file__).parent / "templates"
_METRICS_SHOWN = tuple(METRICS)
_HEADLINE_ORDER = ("best baseline", "reference", "predecessor")
_NEGATIVES: dict[DrawnNegatives, str] = {
    "uniform": "with negatives drawn from all items alike",
    "popularity": "with negatives drawn in proportion to how often they were taken, so that being popular tells less",
}


@dataclass(frozen=True)
class Page:
    """What the page is rendered from: numbers, and what the systems did on the samples.

    `latency` is of one run on one machine: empty for the artefact, which equal seeds give equal.
    """

    metrics: dict[str, Any]
    details: dict[str, Any]
    further: dict[str, Any]
    comparison: Comparison
    curves: pl.DataFrame
    config: EvaluationConfig
    num_ranked: int
    seed: int
    latency: Mapping[str, Latency] = field(default_factory=dict)


def render_page(page: Page, store: SampleStore) -> str:
    """Return the page; equal input gives equal text."""
    environment = page_environment(_TEMPLATES)
    environment.filters.update(
        system=system_name, metric=metric_name, decimal=decimal, percent=percent, p_value=p_value
    )
    environment.globals.update(interval=interval, named=_named, highest_of=_highest, told_negatives=_NEGATIVES)
    systems, agents = best_first(page.metrics["systems"]), [agent.name for agent in page.comparison.agents]
    return environment.get_template("page.html").render(
        page=page,
        metrics=page.metrics,
        details=page.details,
        names=_METRICS_SHOWN,
        systems=systems,
        valid_systems=best_first(page.details["valid"]["systems"]),
        agents=agents,
        best=best_by_metric(systems),
        best_valid=best_by_metric(page.details["valid"]["systems"]),
        chosen=chosen_baseline(page),
        headline=headline(page),
        further={negatives: _further(results) for negatives, results in page.further.items()},
        learned=_learned(page),
        planted=_planted(page),
        shown_parts=[part for part in ("warm", "cold") if page.details[part]["systems"]],
        bars=systems_drawing(systems, agents),
        differences=differences_drawing(page.details["differences"]) if page.details["differences"] else None,
        trust={agent: trust_drawing(agent, tools) for agent, tools in page.details["trust"].items() if tools},
        curves=curve_drawings(page.curves),
        episodes=_episodes(page, store),
    )


def best_first(systems: Mapping[str, Mapping[str, Any]]) -> dict[str, Mapping[str, Any]]:
    """Return the systems by NDCG@10, the highest first."""
    return dict(sorted(systems.items(), key=lambda row: -row[1][MAIN_METRIC]["mean"]))


def chosen_baseline(page: Page) -> str:
    """Return what the page compares every system with until its reader chooses: the recipe's first reference.

    Without one it is the best baseline, and without a baseline the first agent.
    """
    baselines = {system.name: system.ranks for system in page.comparison.baselines or page.comparison.systems[:1]}
    return page.config.references[0] if page.config.references else best_system(baselines)


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


def _further(results: Mapping[str, Any]) -> dict[str, Any]:
    """What the page says of one kind of negatives."""
    return {
        **results,
        "systems": best_first(results["systems"]),
        "best": best_by_metric(results["systems"]),
        "drawing": differences_drawing(results["differences"]) if results["differences"] else None,
    }


def page_positions(page: Page) -> NDArray[np.int64]:
    """Return positions of the samples whose episodes the page shows; those of the planted case first."""
    drawn = shown_positions(page.comparison, page.config.num_shown_episodes, page.seed)
    planted = np.flatnonzero(np.isin(page.comparison.sample_ids, _planted(page)))
    return np.concatenate([planted, np.setdiff1d(drawn, planted)])


def _learned(page: Page) -> dict[str, dict[str, float]]:
    """Share of the learnable by system and group of samples, best first; empty where no truth is known."""
    systems = page.details["learned"].get("systems", {})
    rows = {name: {group: cell["learned"] for group, cell in groups.items()} for name, groups in systems.items()}
    return dict(sorted(rows.items(), key=lambda row: -row[1]["all"]))


def _planted(page: Page) -> list[int]:
    """Samples of the planted case, where the data has one."""
    planted: list[int] = page.details["learned"].get("planted_case", [])
    return planted


def _named(rows: Mapping[str, Any], order: Iterable[str] | None = None) -> dict[str, Any]:
    return {system_name(name): rows[name] for name in order or rows}


def _highest(rows: Mapping[str, Mapping[str, float]]) -> float:
    """Return the highest value of a table, 1 when all are 0: what the strongest colour stands for."""
    return max((value for values in rows.values() for value in values.values()), default=0.0) or 1.0


def _episodes(page: Page, store: SampleStore) -> list[ShownEpisode]:
    """Episodes of the same samples, grouped by sample."""
    shown = [shown_episodes(agent, page_positions(page), store) for agent in page.comparison.agents]
    return [episode for of_sample in zip(*shown, strict=True) for episode in of_sample]
