import gzip
from pathlib import Path

import pytest

from recops.data.json_lines import read_json_lines
from recops.errors import InputError
from tests.recops.data.small_source import write_lines


def read(path: Path, required: tuple[str, ...] = ("a",), expected: tuple[str, ...] = ()) -> list[tuple[int, dict]]:
    return list(read_json_lines(path, required=required, expected=expected))


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_plain_and_zipped_files_give_the_same_lines(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / name, [{"a": 1}, "", {"a": "ü"}])
    assert read(path) == [(1, {"a": 1}), (3, {"a": "ü"})]


def test_a_missing_file_says_what_the_folder_holds(tmp_path: Path) -> None:
    (tmp_path / "reviews.jsonl").touch()
    with pytest.raises(InputError, match=r"no such file; the folder holds reviews\.jsonl"):
        read(tmp_path / "reviews.jsonl.gz")
    with pytest.raises(InputError, match=r"no such folder.*RECOPS_DATA"):
        read(tmp_path / "absent" / "reviews.jsonl")


@pytest.mark.parametrize("lines", [[], ["", "  "]])
def test_an_empty_file_is_refused(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(InputError, match=r"x\.jsonl: found an empty file"):
        read(write_lines(tmp_path / "x.jsonl", lines))


@pytest.mark.parametrize("bad", ["{'a': 1}", '{"a": 1', '{"a": NaN}', "[1]", "7", '{"a": 1} {"a": 2}'])
def test_a_line_that_is_no_json_object_is_named_by_file_and_number(tmp_path: Path, bad: str) -> None:
    with pytest.raises(InputError) as caught:
        read(write_lines(tmp_path / "x.jsonl", [{"a": 1}, bad]))
    assert caught.value.where == f"{tmp_path / 'x.jsonl'}, line 2"
    assert bad in caught.value.found
    assert "JSON object" in caught.value.expected
    assert caught.value.next_step


def test_bytes_that_are_no_utf8_are_named_by_line(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": "\xff"}\n')
    with pytest.raises(InputError, match=r"line 2: found bytes that are not UTF-8"):
        read(path)


def test_a_zipped_file_that_is_cut_off_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl.gz"
    path.write_bytes(gzip.compress(b'{"a": 1}\n' * 1000)[:-12])
    with pytest.raises(InputError, match="damaged gzip"):
        read(path)


def test_a_line_without_a_required_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2: found no key 'a' \(keys: b\)"):
        read(write_lines(tmp_path / "x.jsonl", [{"a": 1, "b": 1}, {"b": 2}]))


def test_a_column_that_no_line_has_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [{"a": 1, "stor": "x"}, {"a": 2, "price": None}])
    with pytest.raises(InputError, match=r"no line with store;"):
        read(path, expected=("store", "price"))
