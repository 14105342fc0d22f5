"""The parts of README.md that the code knows better than a person: the graph, the tables of results, the files."""

import ast
import re
from pathlib import Path

from recops.stage import STAGES, Root, StageName

_SHAPES: dict[Root, tuple[str, str]] = {"data": ("[(", ")]"), "models": ("([", "])"), "reports": ("[[", "]]")}
_GRAPH = re.compile(r"```mermaid\n.*?```", re.DOTALL)
_TREE = re.compile(r"```text\n.*?```", re.DOTALL)
_RESULTS = re.compile(r"(<!-- method: (\w+) -->\n).*?(\n<!-- end of method -->)", re.DOTALL)
_SHOWN = ("system", "NDCG@10", "seeds", "HR@1", "invalid", "calls")
_PACKAGES = ("jobs", "assets", "recops")


def write_readme_parts(root: Path) -> Path:
    """Put the current picture, tables and tree in the place of those in README.md; return its path."""
    readme = root / "README.md"
    text = readme.read_text(encoding="utf-8")
    text = with_results(_with(_with(text, _GRAPH, mermaid_block()), _TREE, tree_block(root)), root)
    readme.write_text(text, encoding="utf-8")
    return readme


def _with(text: str, pattern: re.Pattern[str], block: str) -> str:
    found = pattern.search(text)
    assert found, f"README.md has no block {pattern.pattern}"
    return text[: found.start()] + block + text[found.end() :]


def with_results(text: str, root: Path) -> str:
    """Return a text with the tables of docs/results.md between its marks, each with both kinds of negatives in one."""
    page = (root / "docs" / "results.md").read_text(encoding="utf-8")
    return _RESULTS.sub(lambda found: found[1] + _results_table(page, found[2]) + found[3], text)


def _results_table(page: str, recipe: str) -> str:
    part = page.partition(f"### method: {recipe}\n")[2].partition("\n### ")[0]
    uniform, popular = map(_systems, part.split("#### The same samples with popularity negatives"))
    head = [*_SHOWN[:3], "among popular negatives", *_SHOWN[3:]]
    lines = [f"| {' | '.join(head)} |", f"|---|{'---:|' * (len(head) - 1)}"]
    for name, row in uniform.items():
        cells = [*(row[key] for key in _SHOWN[1:3]), popular[name]["NDCG@10"], *(row[key] for key in _SHOWN[3:])]
        lines.append(f"| {' | '.join([name.removeprefix('recipe/'), *cells])} |")
    return "\n".join(lines)


def _systems(text: str) -> dict[str, dict[str, str]]:
    """The first table of a part of the page: the cells of every system by their column."""
    lines = text[text.index("| system |") :].partition("\n\n")[0].splitlines()
    head, _, *rows = ([cell.strip() for cell in line.strip("|").split("|")] for line in lines)
    return {row[0]: dict(zip(head, row, strict=True)) for row in rows}


def mermaid_block() -> str:
    """Return the graph as a fenced Mermaid block: cylinders are data, round boxes models, double boxes reports.

    An edge is left out where a longer way leads along other edges; `recops.stage` has every edge.
    """
    nodes = [f"    {name}{name.join(_SHAPES[stage.root])}" for name, stage in STAGES.items()]
    edges = [f"    {read} --> {name}" for name in STAGES for read in _nearest(name)]
    return "\n".join(["```mermaid", "flowchart TD", *nodes, *edges, "```"])


def tree_block(root: Path) -> str:
    """Return every module with the first sentence of its docstring, as a fenced block."""
    files = sorted(path for package in _PACKAGES for path in (root / package).rglob("*.py") if path.stem != "__init__")
    order = {package: place for place, package in enumerate(_PACKAGES)}
    names = [(path.relative_to(root), _purpose(path)) for path in files]
    names.sort(key=lambda pair: (order[pair[0].parts[0]], len(pair[0].parts), pair[0].parts))
    width = max(len(str(name)) for name, _ in names)
    return "\n".join(["```text", *(f"{name!s:<{width}}  {purpose}" for name, purpose in names), "```"])


def _purpose(path: Path) -> str:
    """The first line of a module's docstring, cut at its first full stop."""
    text = ast.get_docstring(ast.parse(path.read_text(encoding="utf-8")))
    assert text, f"{path} does not say what it is"
    return text.splitlines()[0].partition(". ")[0].rstrip(".")


def _nearest(name: StageName) -> list[StageName]:
    reads = STAGES[name].reads
    return [read for read in reads if not any(read in _upstream(other) for other in reads)]


def _upstream(name: StageName) -> set[StageName]:
    reads = STAGES[name].reads
    return set(reads).union(*(_upstream(read) for read in reads))
