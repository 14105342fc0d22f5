from pathlib import Path

import pytest

from recops.data.source_files import source_files
from recops.errors import InputError


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "parts").mkdir()
    for name in ("b.jsonl", "a.jsonl", "parts/2.gz", "parts/1.gz"):
        (tmp_path / name).touch()
    return tmp_path


def test_names_keep_their_order_and_patterns_are_sorted_each_file_once(folder: Path) -> None:
    found = source_files(folder, ("b.jsonl", "parts/*.gz", "*.jsonl"))
    assert [path.relative_to(folder).as_posix() for path in found] == ["b.jsonl", "parts/1.gz", "parts/2.gz", "a.jsonl"]
    assert source_files(folder, "a.jsonl") == (folder / "a.jsonl",)


@pytest.mark.parametrize("name", ["c.jsonl", "*.csv", "parts"])
def test_a_name_or_pattern_without_a_file_is_refused(folder: Path, name: str) -> None:
    with pytest.raises(InputError, match=r"found no such file; the folder holds a\.jsonl, b\.jsonl, parts"):
        source_files(folder, name)
