"""Files of lines as blocks of whole lines: plain, gzip or Zstandard by content, read ahead in a thread of its own.

Memory is a few blocks, whatever the size of the file: the next block is read and unpacked while this one is parsed.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn, Protocol

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recops.data.source_files import missing_file
from recops.errors import InputError
from recops.progress import Meter, progress

BLOCK_BYTES = 4 * 2**20
MAX_LINE_BYTES = 16 * 2**20
"""A longer line is no record of a shop but a file without line ends; it would be held in memory whole."""

_FETCH_AGAIN = "Fetch or copy the file again."
_COMPRESSIONS = {b"\x1f\x8b": "gzip", b"\x28\xb5\x2f\xfd": "zstd"}
_FOREIGN = {
    b"PK\x03\x04": ("a zip archive", "Unpack it: unzip FILE"),
    b"\xff\xfe": ("text in UTF-16", "Convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW_FILE"),
    b"\xfe\xff": ("text in UTF-16", "Convert it: iconv -f UTF-16 -t UTF-8 FILE > NEW_FILE"),
    b"BZh": ("a bzip2 file", "Unpack it: bunzip2 FILE"),
    b"\xfd7zXZ": ("an xz file", "Unpack it: unxz FILE"),
    b"PAR1": ("a Parquet file", "Name it as a table of the source `files`."),
}
_LINE_FEED = 10
_UTF8_MARK = b"\xef\xbb\xbf"


class ByteStream(Protocol):
    """What is read here: bytes, unpacked."""

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none at the end."""


@dataclass(frozen=True)
class Block:
    """Whole lines of a file; each ends in a line feed, also the last one of the file.

    Attributes:
        first_line: the number of the first of them, from 1.
        line_starts: place in `content` of each line's first byte.
    """

    first_line: int
    content: bytes
    line_starts: NDArray[np.int64]

    @property
    def num_lines(self) -> int:
        """How many lines these are."""
        return len(self.line_starts)


def read_blocks(path: Path) -> Iterator[Block]:
    """Give the lines of a file in order, in blocks; a byte-order mark of UTF-8 is left out.

    Raises:
        InputError: the file is missing, empty, damaged, of a kind that holds no lines of UTF-8, or has a line of more
            than `MAX_LINE_BYTES`.
    """
    empty = True
    with open_stream(path) as (stream, meter), ThreadPoolExecutor(1, "read-ahead") as ahead:
        lines = _Lines(path, stream, meter)
        reading = ahead.submit(lines.next_block)
        while (block := reading.result()) is not None:
            reading = ahead.submit(lines.next_block)
            yield block
            empty = False
    if empty:
        raise InputError(path, found="an empty file", expected="lines of text", next_step=_FETCH_AGAIN)


@contextmanager
def open_stream(path: Path) -> Iterator[tuple[ByteStream, "FileMeter"]]:
    """Open a file for reading its unpacked bytes, with a meter that shows how far it was read.

    Raises:
        InputError: the file is missing or of a kind that holds no text.
    """
    magic = _magic(path)
    for start, (kind, step) in _FOREIGN.items():
        if magic.startswith(start):
            raise InputError(path, found=kind, expected="text in UTF-8, plain, .gz or .zst", next_step=step)
    compression = next((name for start, name in _COMPRESSIONS.items() if magic.startswith(start)), None)
    # Progress is counted in bytes of the file as it lies on the disk: how many lines there are is not known.
    with pa.OSFile(str(path)) as raw, progress(f"reading {path.name} (bytes)", path.stat().st_size) as meter:
        yield pa.CompressedInputStream(raw, compression) if compression else raw, FileMeter(raw, meter)


def refuse_damaged(path: Path, error: OSError, *, where: str) -> NoReturn:
    """Raise the InputError for a packed file whose bytes do not unpack."""
    expected = "a whole .gz or .zst file"
    raise InputError(path, found=f"damage {where} ({error})", expected=expected, next_step=_FETCH_AGAIN) from error


class FileMeter:
    """Shows how far a file was read."""

    def __init__(self, raw: pa.NativeFile, meter: Meter) -> None:
        self._raw, self._meter, self._done = raw, meter, 0

    def show(self) -> None:
        """Report what was read since the last call."""
        place = self._raw.tell()
        if place > self._done:
            self._meter.advance(place - self._done)
        self._done = place


class _Lines:
    """Cuts a stream at line ends; used by one thread."""

    def __init__(self, path: Path, stream: ByteStream, meter: FileMeter) -> None:
        self._path, self._stream, self._meter = path, stream, meter
        self._rest, self._num_lines, self._at_start = b"", 0, True

    def next_block(self) -> Block | None:
        """Return the next lines, None at the end."""
        parts = [self._rest]
        while True:
            read = self._read()
            end = read.rfind(b"\n") + 1
            if end:
                self._check_length(sum(map(len, parts)) + read.find(b"\n"))
                parts.append(read[:end])
                self._rest = read[end:]
                return self._block(b"".join(parts))
            parts.append(read)
            if not read:
                self._rest = b""
                last = b"".join(parts)
                return self._block(last + b"\n") if last else None
            self._check_length(sum(map(len, parts)))

    def _read(self) -> bytes:
        try:
            read = self._stream.read(BLOCK_BYTES)
        except OSError as error:
            refuse_damaged(self._path, error, where=f"after line {self._num_lines}")
        self._meter.show()
        if self._at_start:
            self._at_start = False
            return read.removeprefix(_UTF8_MARK)
        return read

    def _block(self, content: bytes) -> Block:
        ends = np.flatnonzero(np.frombuffer(content, dtype=np.uint8) == _LINE_FEED)
        first_line = self._num_lines + 1
        self._num_lines += len(ends)
        return Block(first_line, content, np.append(0, ends[:-1] + 1))

    def _check_length(self, found: int) -> None:
        if found > MAX_LINE_BYTES:
            raise InputError(
                f"{self._path}, line {self._num_lines + 1}",
                found=f"more than {found:,} bytes without a line end",
                expected=f"lines of at most {MAX_LINE_BYTES:,} bytes, one record each",
                next_step="Write one record per line.",
            )


def _magic(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(8)
    except FileNotFoundError as error:
        raise missing_file(path) from error
    except OSError as error:
        step = "Name a file that can be read."
        raise InputError(path, found=error.strerror, expected="a file", next_step=step) from error
