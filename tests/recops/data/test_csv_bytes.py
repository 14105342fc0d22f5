"""Quotation marks in CSV: what Python's own strict reader takes is read to the letter, what it refuses is refused."""

import csv
import io
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import event, example, given, settings
from hypothesis import strategies as st

from recops.config.raw_data import CsvConfig
from recops.data import tables
from recops.data.tables import read_table
from recops.errors import InputError

Rows = list[tuple[str, str]]

LETTERS = st.text("ab é;", max_size=5)
UNQUOTED = st.text('ab" é;', max_size=5).filter(lambda text: not text.startswith('"'))
QUOTED = st.text('ab" é,;\n\r', max_size=5).map(lambda text: '"' + text.replace('"', '""') + '"')
FIELD = LETTERS | UNQUOTED | QUOTED
FILE = st.lists(st.tuples(FIELD, FIELD), min_size=1, max_size=12).flatmap(
    lambda rows: st.sampled_from(["\n", "\r\n"]).map(lambda end: "a,b" + end + end.join(map(",".join, rows)) + end)
)


def ours(content: bytes, config: CsvConfig | None = None) -> Rows:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "x.csv"
        path.write_bytes(content)
        frames = read_table(path, ("a", "b"), config or CsvConfig(delimiter=",", encoding="utf-8"))
        return pl.concat(frames).select("a", "b").rows()


def reference(text: str) -> Rows | None:
    """Rows as Python's own reader gives them; None where it refuses the file, or a row is not one of two fields."""
    try:
        rows = [row for row in csv.reader(io.StringIO(text, newline=""), strict=True) if row][1:]
    except csv.Error:
        return None
    return [(row[0], row[1]) for row in rows] if all(len(row) == 2 for row in rows) else None


@given(text=FILE, block=st.sampled_from([7, 64, 2**20]))
@settings(max_examples=300, deadline=None)
@example(text='a,b\n1,6" lamp\n2,x\n', block=7)
@example(text='a,b\n1,6" lamp\n2,7" lamp\n', block=2**20)
@example(text='a,b\n1,"a ""q"" b"\n"",""\n"""","\n"""\n', block=7)
def test_every_file_with_its_values_quoted_is_read_as_python_reads_it(text: str, block: int) -> None:
    expected = reference(text)
    assert expected, "the strategy gives whole files with rows"
    longest = max(2 * len(first) + 2 * len(second) for first, second in expected)  # letters and marks are of two bytes
    with pytest.MonkeyPatch.context() as patch:
        # Arrow wants a row to lie in two blocks at most, and so does this only where blocks are long enough.
        patch.setattr(tables, "_BLOCK_BYTES", max(block, longest + 8))
        assert ours(text.encode()) == expected


@given(lines=st.lists(st.text('ab",\r', max_size=8), min_size=1, max_size=6))
@settings(max_examples=500, deadline=None)
@example(lines=['1,"x', '2,"y', "3,z"])
@example(lines=['1,"x', '2,"y"', "3,z"])
@example(lines=['1,"a "q" b"', "2,y"])
@example(lines=['1,"x"'])
def test_whatever_stands_in_a_file_it_is_read_as_python_reads_it_or_refused(lines: list[str]) -> None:
    text = "a,b\n" + "\n".join(lines)
    expected = reference(text)
    event("refused" if expected is None else "read")
    if expected:
        assert ours(text.encode()) == expected
    else:
        with pytest.raises(InputError):
            ours(text.encode())


@pytest.mark.parametrize("block", [16, 2**20])
@pytest.mark.parametrize(
    ("rows", "line", "told"),
    [
        (b'1,"x\n2,"y\n3,z\n', 2, "text behind the one that closes it: .*2,"),
        (b'1,x\n2,"x\n3,"y"\n4,z\n', 3, "text behind the one that closes it"),
        (b'1,"q\n"\n2,x\n3,"a "q" b"\n', 5, "text behind the one that closes it"),
        (b'1,6" lamp\n2,"x\n3,z\n', 3, "opened and not closed"),
        (b'1,"x"\n2,"x""\n', 3, "opened and not closed"),
        (b'1,"', 2, "opened and not closed"),
    ],
)
def test_a_value_without_an_end_is_named_by_the_line_on_which_it_opened(
    rows: bytes, line: int, told: str, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_BLOCK_BYTES", block)
    with pytest.raises(InputError, match=rf"x\.csv, line {line}: found a quotation mark .*{told}.*twice"):
        ours(b"a,b\n" + rows)


def test_a_value_that_never_ends_in_a_long_file_is_named_where_it_opened(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tables, "_BLOCK_BYTES", 64)
    with pytest.raises(InputError, match=r"line 3: found a quotation mark that is opened and not closed"):
        ours(b'a,b\n1,2\n3,"x\n' + b"4,5\n" * 1000)


@pytest.mark.parametrize("block", [16, 2**20])
@pytest.mark.parametrize(
    ("encoding", "lines"), [("utf-8", b"1,x\n2,caf\xe9\n3,x\n"), ("cp1252", b"1,x\n2,\x81\n3,x\n")]
)
def test_a_byte_in_another_encoding_is_named_by_its_line_in_a_column_that_is_not_read_too(
    encoding: str, lines: bytes, block: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(tables, "_BLOCK_BYTES", block)
    before = b"".join(b"%d,x\n" % number for number in range(100))
    content = (b"a,c\n" + before + lines).replace(b"\n", b",b\n")
    with pytest.raises(InputError, match=rf"x\.csv, line 103: found bytes that are not {encoding}.*csv\.encoding"):
        ours(content, CsvConfig(delimiter=",", encoding=encoding))


def test_a_file_that_ends_in_the_middle_of_a_letter_is_refused() -> None:
    with pytest.raises(InputError, match=r"line 2: found bytes that are not utf-8 .*unexpected end of data"):
        ours("a,b\n1,é".encode()[:-1])


def test_it_does_not_matter_where_a_block_ends(monkeypatch: pytest.MonkeyPatch) -> None:
    rows = ['1,"x\r\ny"', '9,"\r\r\n"', '2,6""', '3,"say ""hi"""', '"","\n,"', '4,""', '5,x" "y', '6"",""""', '7,7""']
    text = "\r\n".join(["a,b", *rows, ""])
    for block in range(16, 64):
        monkeypatch.setattr(tables, "_BLOCK_BYTES", block)
        assert ours(text.encode()) == reference(text), block


def test_a_letter_cut_by_a_block_is_whole(monkeypatch: pytest.MonkeyPatch) -> None:
    text = "a,b\n" + "".join(f"{number},é€𝄞\n" for number in range(50))
    for block in range(14, 32):
        monkeypatch.setattr(tables, "_BLOCK_BYTES", block)
        assert ours(text.encode()) == [(str(number), "é€𝄞") for number in range(50)]


def test_the_second_byte_of_a_letter_of_two_is_no_delimiter() -> None:
    config = CsvConfig(delimiter="|", encoding="gbk")
    assert "亅".encode("gbk")[1:] == b"|"
    assert ours('a|b\n1|亅"x\n'.encode("gbk"), config) == [("1", '亅"x')]


def test_a_line_end_in_a_name_of_the_header_is_part_of_the_name(tmp_path: Path) -> None:
    (tmp_path / "x.csv").write_bytes(b'a,"b\n(EUR)"\n1,2\n')
    config = CsvConfig(delimiter=",", encoding="utf-8")
    [table] = read_table(tmp_path / "x.csv", ("a", "b\n(EUR)"), config)
    assert table.rows() == [("1", "2", 2)]
