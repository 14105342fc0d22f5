"""A picture of the pipeline, drawn from the table of stages."""

import re
from pathlib import Path

from recops.stage import STAGES, Root, StageName

_SHAPES: dict[Root, tuple[str, str]] = {"data": ("[(", ")]"), "models": ("([", "])"), "reports": ("[[", "]]")}
_BLOCK = re.compile(r"```mermaid\n.*?```", re.DOTALL)


def mermaid_block() -> str:
    """Return the graph as a fenced Mermaid block: cylinders are data, round boxes models, double boxes reports.

    An edge is left out where a longer way leads along other edges; `recops.stage` has every edge.
    """
    nodes = [f"    {name}{name.join(_SHAPES[stage.root])}" for name, stage in STAGES.items()]
    edges = [f"    {read} --> {name}" for name in STAGES for read in _nearest(name)]
    return "\n".join(["```mermaid", "flowchart TD", *nodes, *edges, "```"])


def write_graph(readme: Path) -> None:
    """Put the current picture in the place of the one in `readme`."""
    text = readme.read_text(encoding="utf-8")
    assert _BLOCK.search(text), f"{readme} has no Mermaid block"
    readme.write_text(_BLOCK.sub(lambda _: mermaid_block(), text, count=1), encoding="utf-8")


def _nearest(name: StageName) -> list[StageName]:
    reads = STAGES[name].reads
    return [read for read in reads if not any(read in _upstream(other) for other in reads)]


def _upstream(name: StageName) -> set[StageName]:
    reads = STAGES[name].reads
    return set(reads).union(*(_upstream(read) for read in reads))
