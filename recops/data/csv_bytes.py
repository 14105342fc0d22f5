"""The bytes of a CSV file on their way to the parser, checked for what a parser takes without a word.

A quotation mark that opens a value and is never closed swallows the rows behind it, up to the next mark: the parser
gives one value with line ends in it. Such a value ends where text follows its closing mark, or with the file.
"""

import codecs
import re
from pathlib import Path
from typing import NoReturn

import numpy as np

from recops.config.raw_data import CsvConfig
from recops.data.byte_blocks import ByteStream
from recops.errors import InputError

_SHOWN_BYTES = 80
_UTF8_MARK = b"\xef\xbb\xbf"
_VALUE_STEP = "Write quotation marks around the value, and each one inside it twice; or remove the one that opens it."


class CsvBytes:
    """A stream of CSV that refuses a quoted value without an end, and bytes that are not in the encoding.

    A quotation mark opens a value at the start of a field only; elsewhere in an unquoted field it is text. NUL comes as
    the control character SUB (0x1A): Arrow overlooks delimiters up to seven bytes behind a NUL.
    """

    closed = False

    def __init__(self, path: Path, stream: ByteStream, config: CsvConfig) -> None:
        self._path, self._stream, self._config = path, stream, config
        self._decoder = codecs.getincrementaldecoder(config.encoding)()
        self._is_utf8 = codecs.lookup(config.encoding).name == "utf-8"
        self._quotes = _Quotes(config.delimiter)
        self._num_lines, self._rest, self._at_start = 0, b"", True

    def read(self, size: int) -> bytes:
        """Return at most `size` bytes; none at the end.

        Raises:
            InputError: a quoted value goes on after its closing mark or has none, or a byte is not in the encoding.
        """
        read = self._stream.read(size - len(self._rest))
        content, self._rest = self._rest + read, b""
        if read and (ended := content.rstrip(b"\r")):
            # Arrow drops a line feed that begins a block behind such an end, in a quoted value too.
            content, self._rest = ended, content[len(ended) :]
        self._check(content)
        return content.replace(b"\0", b"\x1a")

    def close(self) -> None:
        """Be closed, as the parser asks."""
        self.closed = True

    def _check(self, content: bytes) -> None:
        text, before = self._in_utf8(content), self._quotes.opened
        if self._at_start:
            text, self._at_start = text.removeprefix(_UTF8_MARK), False
        wrong = self._quotes.follow(text, self._num_lines + 1)
        if wrong is not None:
            line, shown = wrong
            found = f"a quotation mark that opens a value, and text behind the one that closes it: {shown!r}"
            self._refuse(line, found, "a delimiter or a line end after a closing quotation mark", _VALUE_STEP)
        if not content:
            self._quotes.end()
        opened = self._quotes.opened
        # Of a block without the end of a row the parser would say neither where the row begins nor why it is so long.
        if opened is not None and (not content or (opened == before and not self._quotes.may_close)):
            found = "a quotation mark that is opened and not closed"
            self._refuse(opened, found, "a closing quotation mark", _VALUE_STEP)
        self._num_lines += text.count(b"\n")

    def _in_utf8(self, content: bytes) -> bytes:
        """Check the values that are passed over too: a wrong encoding is a fact of the whole file."""
        if content and self._is_utf8 and content.isascii() and not self._decoder.getstate()[0]:
            return content
        try:
            text = self._decoder.decode(content, final=not content)
        except UnicodeDecodeError as error:
            line = self._num_lines + 1 + error.object.count(b"\n", 0, error.start)
            wrong = error.object[error.start : error.end]
            found = f"bytes that are not {self._config.encoding} ({error.reason}: {wrong!r})"
            step = "Correct raw_data.source.csv.encoding (cp1252 or latin-1 in many exports), or mend the line."
            self._refuse(line, found, f"text in {self._config.encoding}", step)
        return content if self._is_utf8 else text.encode()

    def _refuse(self, line: int, found: str, expected: str, step: str) -> NoReturn:
        raise InputError(f"{self._path}, line {line}", found=found, expected=expected, next_step=step)


class _Quotes:
    """Follows quoted values from one block of bytes to the next.

    Attributes:
        opened: the line of the value that is open at the end of what was followed, None outside of one.
    """

    def __init__(self, delimiter: str) -> None:
        edge = re.escape(delimiter).encode() + rb"\r\n"
        # Possessive: each byte is looked at once, whatever is in the file.
        self._inside = re.compile(rb'[^"]*+(?:""[^"]*+)*+')
        value = rb'(?<=[%s])"[^"]*+(?:""[^"]*+)*+"(?=[%s])' % (edge, edge)
        self._outside = re.compile(rb'(?:[^"]++|(?<![%s])"|%s)*+' % (edge, value))
        self._edges = (delimiter.encode(), b"\r", b"\n")
        self._beside = np.zeros(256, dtype=np.bool_)
        self._beside[list(b'"\r\n' + delimiter.encode())] = True
        # The byte before the next block: outside of a value the last one, inside it a mark that may close it or none.
        self._before = b"\n"
        self.opened: int | None = None

    def follow(self, block: bytes, first_line: int) -> tuple[int, str] | None:
        """Follow a block of UTF-8 that begins on line `first_line`.

        Returns:
            The line on which a value opened that goes on after its closing mark, and how; None where all is well.
        """
        if self.opened is None and b'"' not in block:
            self._before = block[-1:] or self._before
            return None
        text = self._before + block
        return None if self._follow_pairs(text, first_line) else self._follow_each(text, first_line)

    def _follow_pairs(self, text: bytes, first_line: int) -> bool:
        """Follow a text in which every mark opens or closes a value, or is one of two inside; else change nothing.

        A mark written twice closes the value and opens it again, so that marks open and close in turn.
        """
        if self.opened is None and self._before == b'"':
            return False
        is_open, bytes_N = self.opened is not None, np.frombuffer(text, dtype=np.uint8)
        marks = np.flatnonzero(bytes_N == ord('"'))
        opening, closing = marks[int(is_open) :: 2], marks[int(not is_open) :: 2]
        behind = closing[:-1] if len(closing) and closing[-1] == len(text) - 1 else closing
        if not self._beside[bytes_N[opening - 1]].all() or not self._beside[bytes_N[behind + 1]].all():
            return False
        may_close = len(behind) < len(closing)
        if (len(marks) + is_open) % 2 or may_close:
            first = opening[bytes_N[opening - 1] != ord('"')]  # where values open for the first time
            if len(first):
                self._open_at(text, int(first[-1]), first_line)
            self._before = b'"' if may_close else b""
        else:
            self.opened, self._before = None, text[-1:]
        return True

    def _follow_each(self, text: bytes, first_line: int) -> tuple[int, str] | None:
        """Follow any text, mark by mark."""
        place = 0 if self.opened is not None else len(self._before)
        while place < len(text):
            if self.opened is None:
                place = _end(self._outside, text, place)
                if place == len(text):
                    break
                self._open_at(text, place, first_line)
                place += 1
            place = _end(self._inside, text, place)
            mark, behind = text[place : place + 1], text[place + 1 : place + 2]
            if not behind:
                self._before = mark
                return None
            if behind not in self._edges:
                assert self.opened is not None
                return self.opened, text[max(0, place - _SHOWN_BYTES) : place + _SHOWN_BYTES].decode(errors="replace")
            self.opened, place = None, place + 1
        self._before = text[-1:]
        return None

    def _open_at(self, text: bytes, place: int, first_line: int) -> None:
        # What stands before the block in `text` is counted already.
        start = 0 if self.opened is not None else len(self._before)
        self.opened = first_line + text.count(b"\n", start, place)

    @property
    def may_close(self) -> bool:
        """Whether a mark ended the block inside a value: what follows says whether it closes it."""
        return self.opened is not None and self._before == b'"'

    def end(self) -> None:
        """Take what was followed as the whole file: a mark at its end closes a value."""
        if self.may_close:
            self.opened = None


def _end(pattern: re.Pattern[bytes], text: bytes, place: int) -> int:
    """Where the longest match from `place` ends; the patterns match nothing at all too."""
    match = pattern.match(text, place)
    assert match is not None
    return match.end()
