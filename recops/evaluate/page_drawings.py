"""The drawings of a report, each with its content in words for those who do not see it."""

from collections.abc import Mapping, Sequence
from typing import Any

import polars as pl
from markupsafe import Markup

from recops.evaluate.curves import CALLS_BY_TOOL, sections
from recops.evaluate.paired import MAIN_METRIC
from recops.evaluate.plots import Bar, bars_svg, curves_svg, differences_svg
from recops.evaluate.wording import decimal, interval, metric_name, percent, system_name


def systems_drawing(systems: Mapping[str, Mapping[str, Any]], agents: Sequence[str]) -> Markup:
    """Return a bar per system, in the order given."""
    bars = [Bar(system_name(name), **row[MAIN_METRIC], is_agent=name in agents) for name, row in systems.items()]
    told = "; ".join(f"{bar.name} {decimal(bar.mean)} {interval(bar.low, bar.high)}" for bar in bars)
    alt = f"{metric_name(MAIN_METRIC)} by system: {told}."
    # Each drawing is made by `plots`, which escapes the text that it is given.
    return Markup(bars_svg(bars, xlabel=metric_name(MAIN_METRIC), alt=alt))


def differences_drawing(differences: Sequence[Mapping[str, Any]]) -> Markup:
    """Return a point with its interval per paired difference."""
    bars = [
        Bar(_pair_name(one), one["mean"], one["low"], one["high"], is_agent=one["role"] == "predecessor")
        for one in differences
    ]
    told = " ".join(one["reading"] for one in differences)
    xlabel = f"difference in {metric_name(MAIN_METRIC)}, right of 0: the first one is better"
    return Markup(differences_svg(bars, xlabel=xlabel, alt=f"Paired differences. {told}"))


def trust_drawing(agent: str, trust: Mapping[str, Mapping[str, Any]]) -> Markup:
    """Return for each tool how often its first item was right, where it was followed and where it was not."""
    told = {"right_followed": "followed", "right_ignored": "not followed"}
    bars = [
        Bar(f"{tool}, {words}", **shares[share], is_agent=share == "right_followed")
        for tool, shares in trust.items()
        for share, words in told.items()
        if share in shares
    ]
    alt = "; ".join(f"{bar.name}: right in {percent(bar.mean)}" for bar in bars)
    xlabel = "share in which the tool's first item was the target"
    return Markup(differences_svg(bars, xlabel=xlabel, alt=f"Trust of {system_name(agent)} in its tools. {alt}."))


def curve_drawings(curves: pl.DataFrame) -> dict[str, Markup]:
    """Return by heading a drawing of training curves."""
    return {
        heading: Markup(
            curves_svg(
                panels,
                alt=f"{heading} over training steps, one panel each: {', '.join(panels)}.",
                share_y=heading == CALLS_BY_TOOL,
            )
        )
        for heading, panels in sections(curves).items()
    }


def _pair_name(difference: Mapping[str, Any]) -> str:
    return f"{system_name(difference['system'])} - {system_name(difference['against'])}"
