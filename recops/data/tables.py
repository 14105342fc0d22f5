"""Columns of CSV and Parquet files, by name, in frames of text or of the file's own types, a few megabytes at a time.

`row` is the number of a record, from 1; in a CSV file the header is row 1.
"""

import csv
import io
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl
import pyarrow as pa
import pyarrow.csv as pa_csv
import pyarrow.parquet as pq

from recops.config.raw_data import CsvConfig
from recops.data.byte_blocks import ByteStream, open_stream
from recops.data.csv_bytes import CsvBytes
from recops.errors import InputError

_PARQUET = b"PAR1"
_BATCH_ROWS = 100_000
_BLOCK_BYTES = 8 * 2**20
_SHOWN_CHARACTERS = 120
_FIRST_BYTES = 2**20


def read_table(path: Path, columns: Sequence[str], csv_config: CsvConfig | None) -> Iterator[pl.DataFrame]:
    """Give the named columns of a file and its row numbers, in order.

    Args:
        path: Parquet, or CSV with a header, plain, gzip or Zstandard; known by its content.
        columns: names in the file.
        csv_config: how CSV is written. All its values are text; an empty one is an empty text.

    Raises:
        InputError: the file is missing, empty or damaged, a column is absent, or a row has too few or too many fields.
    """
    if path.is_file() and path.open("rb").read(len(_PARQUET)) == _PARQUET:
        yield from _read_parquet(path, columns)
    elif csv_config is None:
        step = 'Write how: raw_data.source.csv: {delimiter: ",", encoding: utf-8}'
        raise InputError(path, found="a file that is not Parquet", expected="Parquet, as csv is null", next_step=step)
    else:
        yield from _read_csv(path, columns, csv_config)


def _read_parquet(path: Path, columns: Sequence[str]) -> Iterator[pl.DataFrame]:
    try:
        with pq.ParquetFile(path) as file:
            _check_columns(path, columns, file.schema_arrow.names)
            _check_types(path, columns, file.schema_arrow)
            row = 1
            for batch in file.iter_batches(_BATCH_ROWS, columns=list(dict.fromkeys(columns))):
                batch.validate(full=True)  # Polars takes the texts on trust
                table = pl.DataFrame(pl.from_arrow(batch))
                yield _numbered(table, row)
                row += len(table)
    except (pa.ArrowInvalid, pa.ArrowNotImplementedError, OSError) as error:
        expected = "a whole Parquet file with texts in UTF-8 and types that Arrow knows"
        raise InputError(
            path, found=str(error), expected=expected, next_step="Write or copy the file again."
        ) from error
    if row == 1:
        raise _empty(path)


def _check_types(path: Path, columns: Sequence[str], types: pa.Schema) -> None:
    """Check that Polars has the types too; whether a column of texts, numbers or times is wanted is asked later."""
    for name in columns:
        kind = types.field(name).type
        try:
            known = not pa.types.is_decimal256(kind)  # which Polars panics at
            pl.from_arrow(pa.array([], kind) if known else pa.array([]))
        except (pl.exceptions.PolarsError, pa.ArrowNotImplementedError):
            known = False
        if not known:
            found, step = f"{name}: a column of {kind}", "Write the column in another type."
            raise InputError(path, found=found, expected=f"{name}: texts, numbers or times", next_step=step)


def _read_csv(path: Path, columns: Sequence[str], config: CsvConfig) -> Iterator[pl.DataFrame]:
    _check_columns(path, columns, _header(path, config))
    bad: list[pa_csv.InvalidRow] = []
    row, names = 2, list(dict.fromkeys(columns))

    def remember(found: pa_csv.InvalidRow) -> str:
        bad.append(found)
        return "error"

    try:
        with open_stream(path) as (stream, meter):
            batches = pa_csv.open_csv(
                pa.PythonFile(CsvBytes(path, stream, config), "r"),
                read_options=pa_csv.ReadOptions(use_threads=False, block_size=_BLOCK_BYTES, encoding=config.encoding),
                parse_options=pa_csv.ParseOptions(
                    delimiter=config.delimiter, newlines_in_values=True, invalid_row_handler=remember
                ),
                convert_options=pa_csv.ConvertOptions(
                    include_columns=names,
                    column_types=dict.fromkeys(names, pa.large_string()),
                    strings_can_be_null=False,
                ),
            )
            for batch in batches:
                yield _numbered(pl.DataFrame(pl.from_arrow(batch)), row)
                row += batch.num_rows
                meter.show()
    except (pa.ArrowInvalid, OSError) as error:
        raise _bad_csv(path, config, row, bad, error) from error
    if row == 2:
        raise _empty(path)


def _numbered(table: pl.DataFrame, first: int) -> pl.DataFrame:
    return table.with_columns(pl.int_range(first, first + pl.len(), dtype=pl.Int64).alias("row"))


def _header(path: Path, config: CsvConfig) -> list[str]:
    with open_stream(path) as (stream, _):
        text = _first_text(path, stream, config)
    try:
        return next(csv.reader(io.StringIO(text, newline=""), delimiter=config.delimiter, strict=True), [])
    except csv.Error as error:
        raise _bad_csv(path, config, 1, [], error) from error


def _first_text(path: Path, stream: ByteStream, config: CsvConfig) -> str:
    try:
        start = stream.read(_FIRST_BYTES)
    except OSError as error:
        raise _bad_csv(path, config, 1, [], error) from error
    if not start.strip():
        raise _empty(path)
    return start.decode(config.encoding, errors="replace").removeprefix("\ufeff")


def _check_columns(path: Path, columns: Sequence[str], present: Sequence[str]) -> None:
    absent = sorted(set(columns) - set(present))
    twice = sorted(name for name in set(columns) if present.count(name) > 1)
    if absent or twice:
        found = f"no column {', '.join(absent)}" if absent else f"several columns {', '.join(twice)}"
        step = "Correct `columns` in the recipe, raw_data.source.csv.delimiter, or the file's header."
        has = f"{found}; the file has: {', '.join(present)[:1000]}"
        raise InputError(path, found=has, expected="each column of the map, once", next_step=step)


def _bad_csv(path: Path, config: CsvConfig, row: int, bad: Sequence[pa_csv.InvalidRow], error: Exception) -> InputError:
    if bad:
        where = f"{path}, row {bad[0].number}" if bad[0].number else f"{path}, after row {row - 1}"
        found = f"{bad[0].actual_columns} fields: {bad[0].text[:_SHOWN_CHARACTERS]}"
        step = "Mend the row: a delimiter or a quotation mark inside a value needs quotation marks around the value."
        return InputError(where, found=found, expected=f"{bad[0].expected_columns} fields", next_step=step)
    if "straddling" in str(error):  # how Arrow says that it met no end of a row
        step = "Shorten the row."
        most, found = f"rows of at most {_BLOCK_BYTES:,} bytes", f"a row of more than {_BLOCK_BYTES:,} bytes"
        return InputError(f"{path}, after row {row - 1}", found=found, expected=most, next_step=step)
    step = f"Check raw_data.source.csv.encoding ({config.encoding}) and the quotation marks, or fetch the file again."
    return InputError(f"{path}, after row {row - 1}", found=str(error), expected="CSV", next_step=step)


def _empty(path: Path) -> InputError:
    return InputError(path, found="no row", expected="a header and rows", next_step="Write or copy the file again.")
