"""Reading published JSON lines into typed records: every line that cannot be read is named by file and number.

The keys that a line must and may have, and their types, are a msgspec struct; other keys are passed over. A field
without a default is a key that every line has; a field with the default UNSET is a key that at least one line has.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Generic, NoReturn, TypeVar

import msgspec
import numpy as np

from recops.data.byte_blocks import Block, read_blocks
from recops.errors import InputError

Record = TypeVar("Record", bound=msgspec.Struct)

_SHOWN_CHARACTERS = 120
_LINE_STEP = "Mend or remove the line, or fetch the file again."
_KEY = re.compile(r"`\$\.([^`.\[]+)")
_MISSING = re.compile(r"missing required field `(.+)`")
_EXPECTED = re.compile(r"Expected (.*), got|Expected (.*) - at|(Number out of range)")


@dataclass(frozen=True)
class Rows(Generic[Record]):
    """Records of consecutive lines, and the number of the line of each, from 1."""

    records: list[Record]
    numbers: list[int] | range


def read_json_lines(path: Path, kind: type[Record]) -> Iterator[Rows[Record]]:
    """Give the records of a file in order, block by block; blank lines are passed over.

    Args:
        path: JSON lines in UTF-8, plain, gzip or Zstandard by content, whatever the name.
        kind: the struct of a line.

    Raises:
        InputError: the file is missing, empty, cut off or not in UTF-8, a line is no JSON object, has no value of the
            expected type or lacks a key, or no line has a key that some line has.
    """
    decoder = msgspec.json.Decoder(kind)
    optional = [field.name for field in msgspec.structs.fields(kind) if not field.required]
    unseen, count = set(optional), 0
    for block in read_blocks(path):
        _check_utf8(path, block)
        rows = _whole_block(decoder, block) or _line_by_line(path, decoder, block)
        unseen -= {name for name in unseen if any(getattr(row, name) is not msgspec.UNSET for row in rows.records)}
        count += len(rows.records)
        if rows.records:
            yield rows
    if not count:
        raise InputError(path, found="an empty file", expected="JSON lines", next_step="Fetch the file again.")
    if unseen:
        step = "Check the spelling of the keys, or take the published file."
        found = f"no line with {', '.join(sorted(unseen))}"
        raise InputError(path, found=found, expected="each key on some line", next_step=step)


def _whole_block(decoder: "msgspec.json.Decoder[Record]", block: Block) -> Rows[Record] | None:
    """Decode all lines at once: twice as fast as one by one. None where a line needs a look of its own.

    The decoder takes any white space between objects. Only where every line begins an object, and there are as many
    objects as lines, is a record's place its line.
    """
    if (np.frombuffer(block.content, dtype=np.uint8)[block.line_starts] != ord("{")).any():
        return None
    try:
        records = decoder.decode_lines(block.content)
    except (msgspec.DecodeError, RecursionError):
        return None
    if len(records) != block.num_lines:
        return None
    return Rows(records, range(block.first_line, block.first_line + block.num_lines))


def _line_by_line(path: Path, decoder: "msgspec.json.Decoder[Record]", block: Block) -> Rows[Record]:
    records, numbers = [], []
    for number, line in enumerate(block.content.split(b"\n"), start=block.first_line):
        if not line.strip():
            continue
        try:
            records.append(decoder.decode(line))
        except (msgspec.DecodeError, RecursionError) as error:
            _refuse_line(path, number, line, error)
        numbers.append(number)
    return Rows(records, numbers)


def _check_utf8(path: Path, block: Block) -> None:
    """Check the texts that are passed over too: a wrong encoding is a fact of the whole file."""
    if block.content.isascii():
        return
    try:
        block.content.decode("utf-8")
    except UnicodeDecodeError as error:
        number = block.first_line + block.content.count(b"\n", 0, error.start)
        raise InputError(
            f"{path}, line {number}",
            found=f"bytes that are not UTF-8 ({error.reason}: {block.content[error.start : error.end]!r})",
            expected="a JSON object in UTF-8",
            next_step="Convert the file (iconv -t UTF-8), mend the line, or fetch the file again.",
        ) from error


def _refuse_line(path: Path, number: int, line: bytes, error: Exception) -> NoReturn:
    """Raise the InputError for a line that was refused, with the value that is wrong."""
    shown = line.decode("utf-8").strip()[:_SHOWN_CHARACTERS]
    found, expected = f"{shown!r}, which is not JSON ({error})", "a JSON object in UTF-8"
    if isinstance(error, msgspec.ValidationError):
        found, expected = _wrong_value(line, str(error), shown)
    where = f"{path}, line {number}"
    raise InputError(where, found=found, expected=expected, next_step=_LINE_STEP) from error


def _wrong_value(line: bytes, message: str, shown: str) -> tuple[str, str]:
    """Return what was found and what was expected, from msgspec's message about a line that is JSON."""
    content = json.loads(line)
    if not isinstance(content, dict):
        return shown, "a JSON object"
    missing, key, expected = _MISSING.search(message), _KEY.search(message), _EXPECTED.search(message)
    if missing:
        return f"no key {missing[1]!r} (keys: {', '.join(sorted(content))})", f"a line with {missing[1]}"
    assert key, message
    assert expected, message
    kind = expected[1] or expected[2] or "a number that a float holds"
    value = json.dumps(content[key[1]], ensure_ascii=False)[:_SHOWN_CHARACTERS]
    return f"{key[1]}: {value}", f"{key[1]}: {kind.replace('`', '')}"
