"""Reading published JSON lines, plain or .gz: every line that cannot be read is named by file and number."""

import gzip
import json
import zlib
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, NoReturn

from recops.errors import InputError
from recops.progress import Meter, progress

_GZIP_MAGIC = b"\x1f\x8b"
_SHOWN_CHARACTERS = 120
_LINES_BETWEEN_REPORTS = 20_000


def read_json_lines(
    path: Path, *, required: Iterable[str], expected: Iterable[str]
) -> Iterator[tuple[int, dict[str, Any]]]:
    """Give (line number from 1, object) of every line; blank lines are passed over.

    Args:
        path: JSON lines in UTF-8, plain or gzip by content, whatever the name.
        required: keys that every line has.
        expected: keys that at least one line has: a column that no line has is misspelt or from another format.

    Raises:
        InputError: the file is missing, empty or cut off, a line is no JSON object, or a key is absent.
    """
    wanted, missing = tuple(required), set(expected)
    count = 0
    for number, text in _lines(path):
        if not text.strip():
            continue
        content = _object(path, number, text)
        for key in wanted:
            if key not in content:
                found = f"no key {key!r} (keys: {', '.join(sorted(content))})"
                _refuse(path, number, found, f"a line with {', '.join(wanted)}")
        missing.difference_update(content)
        count += 1
        yield number, content
    if not count:
        raise InputError(path, found="an empty file", expected="JSON lines", next_step="Fetch the file again.")
    if missing:
        absent = ", ".join(sorted(missing))
        step = "Check the spelling of the keys, or take the published file."
        raise InputError(path, found=f"no line with {absent}", expected="each key on some line", next_step=step)


def refuse_value(path: Path, number: int, *, key: str, value: object, expected: str) -> NoReturn:
    """Raise the InputError for one value of a line that has the wrong type."""
    _refuse(path, number, f"{key}: {json.dumps(value)[:_SHOWN_CHARACTERS]}", f"{key}: {expected}")


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    number = done = 0
    try:
        # Progress is counted in bytes of the file as it lies on the disk: how many lines there are is not known.
        with path.open("rb") as raw, progress(f"reading {path.name} (bytes)", path.stat().st_size) as meter:
            for number, line in enumerate(_unzipped(raw), start=1):
                yield number, line.decode("utf-8")
                if number % _LINES_BETWEEN_REPORTS == 0:
                    done = _advance(meter, raw, done)
            _advance(meter, raw, done)
    except FileNotFoundError as error:
        _refuse_missing(path, error)
    except UnicodeDecodeError as error:
        raise _unreadable(path, number, f"bytes that are not UTF-8 ({error.reason})") from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise _unreadable(path, number + 1, f"a damaged gzip file ({error})") from error


def _advance(meter: Meter, raw: BinaryIO, done: int) -> int:
    meter.advance(raw.tell() - done)
    return raw.tell()


def _unzipped(raw: BinaryIO) -> Iterable[bytes]:
    zipped = raw.read(len(_GZIP_MAGIC)) == _GZIP_MAGIC
    raw.seek(0)
    return gzip.GzipFile(fileobj=raw) if zipped else raw


def _object(path: Path, number: int, text: str) -> dict[str, Any]:
    try:
        content = json.loads(text, parse_constant=_no_constant)
    except ValueError as error:
        shown = text.strip()[:_SHOWN_CHARACTERS]
        raise _unreadable(path, number, f"{shown!r}, which is not JSON ({error})") from error
    if not isinstance(content, dict):
        _refuse(path, number, text.strip()[:_SHOWN_CHARACTERS], "a JSON object")
    return content


def _no_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no JSON number")


def _refuse(path: Path, number: int, found: str, expected: str) -> NoReturn:
    step = "Mend or remove the line, or fetch the file again."
    raise InputError(f"{path}, line {number}", found=found, expected=expected, next_step=step)


def _unreadable(path: Path, number: int, found: str) -> InputError:
    step = "Mend or remove the line, or fetch the file again."
    return InputError(f"{path}, line {number}", found=found, expected="a JSON object in UTF-8", next_step=step)


def _refuse_missing(path: Path, error: FileNotFoundError) -> NoReturn:
    folder = path.parent
    there = ", ".join(sorted(file.name for file in folder.iterdir())) if folder.is_dir() else ""
    found = f"no such file; the folder holds {there or 'nothing'}" if folder.is_dir() else "no such folder"
    step = "Correct raw_data.source in the recipe, or set RECOPS_DATA to the folder that holds the data sets."
    raise InputError(path, found=found, expected="a file of JSON lines", next_step=step) from error
