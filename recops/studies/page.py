"""docs/results.md: words of a person, and between two marks the tables of each study, written from its cells."""

from pathlib import Path

from recops.studies.plan import Study, study_folder
from recops.studies.table import study_tables

_HEAD = "# Results\n"


def write_page(root: Path, study: Study) -> tuple[Path, str]:
    """Write a study's part of docs/results.md, at its place or at the end; return the page and the part.

    Raises:
        InputError: a file of a cell is damaged.
    """
    page = root / "docs" / "results.md"
    tables = study_tables(study, study_folder(root, study.name))
    page.parent.mkdir(parents=True, exist_ok=True)
    text = page.read_text(encoding="utf-8") if page.is_file() else _HEAD
    page.write_text(_with_part(text, study.name, tables), encoding="utf-8")
    return page, tables


def study_part(text: str, name: str) -> str:
    """Return what the page has between the marks of a study; empty where it has none."""
    begin, end = _marks(name)
    return text.partition(begin)[2].partition(end)[0].strip()


def _with_part(text: str, name: str, part: str) -> str:
    begin, end = _marks(name)
    before, found, rest = text.partition(begin)
    after = rest.partition(end)[2] if found else "\n"
    return f"{before if found else before.rstrip() + chr(10) * 2}{begin}\n{part}\n{end}{after}"


def _marks(name: str) -> tuple[str, str]:
    return f"<!-- study {name}: written by `recops study table {name}` -->", f"<!-- end of study {name} -->"
