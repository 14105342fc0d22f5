import gzip
from pathlib import Path
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recops.data.json_lines import read_json_lines
from recops.errors import InputError
from tests.recops.data.small_source import write_lines


class Line(msgspec.Struct):
    a: int | str | None


class Priced(msgspec.Struct):
    a: int
    store: str | msgspec.UnsetType | None = msgspec.UNSET
    price: float | msgspec.UnsetType | None = msgspec.UNSET


def read(path: Path, kind: type = Line) -> list[tuple[int, Any]]:
    blocks = read_json_lines(path, kind)
    return [(number, row.a) for rows in blocks for number, row in zip(rows.numbers, rows.records, strict=True)]


@pytest.mark.parametrize("name", ["x.jsonl", "x.jsonl.gz"])
def test_plain_and_zipped_files_give_the_same_lines(tmp_path: Path, name: str) -> None:
    path = write_lines(tmp_path / name, [{"a": 1}, "", {"a": "ü"}])
    assert read(path) == [(1, 1), (3, "ü")]


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
    with pytest.raises(InputError, match=r"damage after line 0 \(Truncated"):
        read(path)


def test_a_line_without_a_required_key_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"line 2: found no key 'a' \(keys: b\)"):
        read(write_lines(tmp_path / "x.jsonl", [{"a": 1, "b": 1}, {"b": 2}]))


def test_a_column_that_no_line_has_is_named(tmp_path: Path) -> None:
    path = write_lines(tmp_path / "x.jsonl", [{"a": 1, "stor": "x"}, {"a": 2, "price": None}])
    with pytest.raises(InputError, match=r"no line with store;"):
        read(path, Priced)


@pytest.mark.parametrize("lines", [['{"a": 1} {"a": 2}', '{"a": 3}'], ['{"a": 1}{"a": 2}', ""], ['{"a":', "1}"]])
def test_one_line_is_one_object(tmp_path: Path, lines: list[str]) -> None:
    with pytest.raises(InputError, match=r"x\.jsonl, line 1: found .*not JSON"):
        read(write_lines(tmp_path / "x.jsonl", lines))


@pytest.mark.parametrize("value", ["[1]", '{"b": 1}', "true", "1.5"])
def test_nested_json_of_the_wrong_type_is_named_by_line_and_key(tmp_path: Path, value: str) -> None:
    with pytest.raises(InputError) as caught:
        read(write_lines(tmp_path / "x.jsonl", ['{"a": 1}', f'{{"a": {value}}}']))
    assert caught.value.where == f"{tmp_path / 'x.jsonl'}, line 2"
    assert caught.value.found == f"a: {value}"
    assert caught.value.expected == "a: int | str | null"


@pytest.mark.parametrize("bad", [b'{"a": "\x00"}', b'{"a": "\x07"}', b'{"a": "\\ud800"}', b'{"a": "\\udc00x"}'])
def test_raw_control_characters_and_half_characters_are_no_json(tmp_path: Path, bad: bytes) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n' + bad + b"\n")
    with pytest.raises(InputError, match=r"line 2: found .*not JSON"):
        read(path)


def test_bytes_that_are_no_utf8_are_named_in_texts_that_nobody_reads_too(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'{"a": 1}\n{"a": 1, "text": "caf\xe9"}\n')
    with pytest.raises(InputError, match=r"line 2: found bytes that are not UTF-8"):
        read(path)


def test_a_line_that_nests_too_deep_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="line 1"):
        read(write_lines(tmp_path / "x.jsonl", ['{"a": 1, "b": ' + "[" * 100_000 + "]" * 100_000 + "}"]))


def test_a_byte_order_mark_and_windows_line_ends_change_nothing(tmp_path: Path) -> None:
    path = tmp_path / "x.jsonl"
    path.write_bytes(b'\xef\xbb\xbf{"a": 1}\r\n\r\n{"a": "x"}\r\n')
    assert read(path) == [(1, 1), (3, "x")]


_lines = st.lists(st.sampled_from(['{"a": 1}', '{"a": null, "b": "}\\n{"}', "", " ", '\t{"a": "ü"} \r']), max_size=12)


@settings(max_examples=60, deadline=None)
@given(lines=_lines, block_bytes=st.integers(1, 60))
def test_whole_blocks_and_single_lines_give_the_same_rows(
    tmp_path_factory: pytest.TempPathFactory, lines: list[str], block_bytes: int
) -> None:
    path = tmp_path_factory.mktemp("lines") / "x.jsonl"
    path.write_bytes("\n".join([*lines, '{"a": 7}']).encode())
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recops.data.byte_blocks.BLOCK_BYTES", block_bytes)
        found = read(path)
    values = {'{"a": 1}': 1, '\t{"a": "ü"} \r': "ü"}
    expected = [(number, values.get(line)) for number, line in enumerate(lines, start=1) if line.strip()]
    assert found == [*expected, (len(lines) + 1, 7)]
