import gzip
from decimal import Decimal
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from pydantic import ValidationError

from recops.config.raw_data import CsvConfig
from recops.data.tables import read_table
from recops.errors import InputError

COMMA = CsvConfig(delimiter=",", encoding="utf-8")


def read(path: Path, content: bytes, config: CsvConfig | None = COMMA) -> list[tuple[str, str, int]]:
    path.write_bytes(content)
    return pl.concat(read_table(path, ("a", "b"), config)).rows()


@pytest.mark.parametrize(
    ("content", "rows"),
    [
        (b"a,b\n1,2\n", [("1", "2", 2)]),
        (b"\xef\xbb\xbfa,b\r\n1,2\r\n3,\r\n", [("1", "2", 2), ("3", "", 3)]),
        (b'"b",x,"a"\n"say ""hi""",0,"1,5"\n', [("1,5", 'say "hi"', 2)]),
        (b'a,b\n1,"x\ny"\n2,z', [("1", "x\ny", 2), ("2", "z", 3)]),
        (b"a,b\n1,x\x00y\x07\n", [("1", "x\x1ay\x07", 2)]),
        (gzip.compress(b"a,b\n1,2\n", mtime=0), [("1", "2", 2)]),
    ],
)
def test_csv_is_read_by_the_names_of_its_header(tmp_path: Path, content: bytes, rows: list[object]) -> None:
    assert read(tmp_path / "x.csv", content) == rows


@pytest.mark.parametrize("end", [b"\n", b"\r\n"])
def test_a_nul_hides_no_delimiter_behind_it(tmp_path: Path, end: bytes) -> None:
    rows = [b"%d,%s" % (number, b"x" * 40) for number in range(2000)]
    rows[1000:1000] = [b"a" * place + b"\0b,y" for place in range(40)]
    found = read(tmp_path / "x.csv", end.join([b"a,b", *rows, b""]))
    assert [row[:2] for row in found[1000:1040]] == [("a" * place + "\x1ab", "y") for place in range(40)]


def test_another_delimiter_and_encoding(tmp_path: Path) -> None:
    config = CsvConfig(delimiter=";", encoding="latin-1")
    assert read(tmp_path / "x.csv", b"a;b\n1;caf\xe9\n", config) == [("1", "café", 2)]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"a,b\n1,2\n3\n", "row 3: found 1 fields: 3; expected 2 fields"),
        (b"a,b\n1,2\n3,4,5\n", "row 3: found 3 fields: 3,4,5; expected 2 fields"),
        (b"a,b\n1,caf\xe9\n", r"line 2: found bytes that are not utf-8 .*csv\.encoding"),
        (b'a,b\n1,"x\n2,z\n', "line 2: found a quotation mark that is opened and not closed"),
        (b"a;b\n1;2\n", "no column a, b; the file has: a;b; .*delimiter"),
        (b"a,a,b\n1,2,3\n", "several columns a"),
        (b"a,b\n", "found no row"),
        (b"", "found no row"),
        (b"\xff\xfea\x00,\x00", "text in UTF-16"),
        (b"PK\x03\x04....", "a zip archive"),
        (b"PAR1xxxx", "expected a whole Parquet file"),
        (gzip.compress(b"a,b\n" + b"1,2\n" * 1000, mtime=0)[:-9], "Truncated"),
    ],
)
def test_a_file_that_cannot_be_read_says_where_and_why(tmp_path: Path, content: bytes, message: str) -> None:
    with pytest.raises(InputError, match=message) as caught:
        read(tmp_path / "x.csv", content)
    assert str(tmp_path / "x.csv") in caught.value.where
    assert caught.value.next_step


def test_a_row_that_is_too_long_is_told_as_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops.data.tables._BLOCK_BYTES", 64)
    with pytest.raises(InputError, match="found a row of more than 64 bytes; expected rows of at most 64 bytes"):
        read(tmp_path / "x.csv", b"a,b\n1,2\n3," + b"x" * 400 + b"\n")


def test_a_header_of_a_megabyte_is_refused(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"x\.csv, after row 0: found field larger than field limit"):
        read(tmp_path / "x.csv", b"a," + b"b" * 2**20 + b"\n1,2\n")


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "utf-32"])
def test_an_encoding_of_several_bytes_per_sign_is_refused_with_what_to_do(encoding: str) -> None:
    with pytest.raises(ValidationError, match=f"{encoding} has no line ends of one byte; convert the files"):
        CsvConfig(delimiter=",", encoding=encoding)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; the folder holds nothing"):
        list(read_table(tmp_path / "x.csv", ("a",), COMMA))


def test_parquet_is_known_by_its_content(tmp_path: Path) -> None:
    table = pl.DataFrame({"b": [1.5, None], "c": ["x", "y"], "a": [1, 2]})
    table.write_parquet(tmp_path / "x.data")
    [part] = read_table(tmp_path / "x.data", ("a", "b"), None)
    assert part.rows() == [(1, 1.5, 1), (2, None, 2)]
    with pytest.raises(InputError, match="no column d; the file has: b, c, a"):
        list(read_table(tmp_path / "x.data", ("a", "d"), None))
    table.clear().write_parquet(tmp_path / "empty.data")
    with pytest.raises(InputError, match="found no row"):
        list(read_table(tmp_path / "empty.data", ("a", "b"), None))


def test_a_parquet_column_of_texts_in_a_wrong_encoding_is_refused(tmp_path: Path) -> None:
    texts = pa.Array.from_buffers(pa.string(), 1, pa.array([b"caf\xe9"], pa.binary()).buffers())
    pq.write_table(pa.table({"a": texts, "b": texts}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"Invalid UTF8 sequence.*; expected a whole Parquet file with texts in UTF-8"):
        list(read_table(tmp_path / "x.parquet", ("a", "b"), None))


@pytest.mark.parametrize(
    "column",
    [
        pa.array([Decimal(1)], pa.decimal256(60, 2)),
        pa.array([1], pa.timestamp("ns", "Europe/Atlantis")),
    ],
)
def test_a_parquet_column_of_a_type_that_nothing_here_knows_is_named(tmp_path: Path, column: pa.Array) -> None:
    pq.write_table(pa.table({"a": column, "b": [1]}), tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"x\.parquet: found a: a column of (decimal256|timestamp).*; expected a: tex"):
        list(read_table(tmp_path / "x.parquet", ("a", "b"), None))
    [table] = read_table(tmp_path / "x.parquet", ("b",), None)
    assert table["b"].to_list() == [1]


def test_a_parquet_file_with_whole_numbers_of_128_bits_is_refused(tmp_path: Path) -> None:
    pl.DataFrame({"a": pl.Series([1], dtype=pl.Int128), "b": [1]}).write_parquet(tmp_path / "x.parquet")
    with pytest.raises(InputError, match=r"64 bits not implemented; expected .* types that Arrow knows"):
        list(read_table(tmp_path / "x.parquet", ("a", "b"), None))


def test_csv_needs_a_word_on_how_it_is_written(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"csv is null\. Write how"):
        read(tmp_path / "x.csv", b"a,b\n1,2\n", None)
