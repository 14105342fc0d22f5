"""The comparison of runs as one HTML page that opens offline, and is the same for the same runs."""

from pathlib import Path
from typing import Any

from markupsafe import Markup

from recops.compare.comparison import RunComparison, notes
from recops.compare.sample_view import packed_view
from recops.errors import InputError
from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.plots import Bar, groups_svg
from recops.evaluate.wording import decimal, interval, metric_name, p_value, percent, system_name
from recops.metrics import METRICS
from recops.offline_page import page_environment

_TEMPLATES = Path(__file__).parent / "templates"
_LATENCIES = {"p50": "latency_seconds_p50", "p95": "latency_seconds_p95"}
_SPEED = "episodes_per_second.test"


def write_page(comparison: RunComparison, path: Path) -> Path:
    """Write the page and return its path.

    Raises:
        InputError: the path is a folder.
    """
    if path.is_dir():
        raise InputError(path, found="a folder", expected="a file to write", next_step="Give --out a file's name.")
    path.parent.mkdir(parents=True, exist_ok=True)
    unfinished = path.with_name(f".{path.name}.partial")
    unfinished.write_text(render(comparison), encoding="utf-8")
    unfinished.rename(path)
    return path


def render(comparison: RunComparison) -> str:
    """Return the page; equal runs give equal text."""
    environment = page_environment(_TEMPLATES)
    environment.filters.update(
        system=system_name, metric=metric_name, decimal=decimal, percent=percent, p_value=p_value
    )
    environment.globals.update(interval=interval)
    return environment.get_template("page.html").render(
        comparison=comparison,
        evaluations=comparison.evaluations,
        labels=[one.label for one in comparison.evaluations],
        names=list(METRICS),
        main=MAIN_METRIC,
        confidence=comparison.evaluations[0].settings["evaluation_reports"]["confidence"],
        notes=notes(comparison),
        agents=agents(comparison),
        drawing=_drawing(comparison),
        costs=_costs(comparison),
        groups=list(zip([one.label for one in comparison.evaluations[1:]], comparison.groups, strict=True)),
        view=packed_view(comparison.evaluations),
    )


def agents(comparison: RunComparison) -> list[str]:
    """Return every agent of any run, the last of training first."""
    return list(dict.fromkeys(name for one in comparison.evaluations for name in reversed(one.agents)))


def _drawing(comparison: RunComparison) -> Markup:
    groups = {
        one.label: [
            Bar(system_name(name), **one.metrics["systems"][name][MAIN_METRIC], is_agent=name in one.agents)
            for name in comparison.systems
            if name in one.metrics["systems"]
        ]
        for one in comparison.evaluations
    }
    told = "; ".join(
        f"{label}: " + ", ".join(f"{bar.name} {decimal(bar.mean)} {interval(bar.low, bar.high)}" for bar in bars)
        for label, bars in groups.items()
    )
    alt = f"{metric_name(MAIN_METRIC)} by system and run. {told}."
    # `plots` escapes the text that it is given.
    return Markup(groups_svg(groups, xlabel=metric_name(MAIN_METRIC), alt=alt))


def _costs(comparison: RunComparison) -> list[dict[str, Any]]:
    """Return what an agent's answer costs in each run; times only where MLflow has them."""
    rows = []
    for one, seconds in zip(comparison.evaluations, comparison.seconds, strict=True):
        for agent in reversed(one.agents):
            times = {name: seconds.get(f"{metric}.{agent}") for name, metric in _LATENCIES.items()}
            facts = one.metrics["systems"][agent]
            cost = one.details["cost"][agent]
            speed = seconds.get(f"{_SPEED}.{agent}")
            rows.append({"run": one.label, "agent": agent, "facts": facts, "cost": cost, "speed": speed, **times})
    return rows
