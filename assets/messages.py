"""Reads what a child process reports under Dagster Pipes: whole lines, however long they are.

Dagster's own reader of a file takes what stands there for a line. A line with a picture is written in several pieces,
and on a busy machine the reader meets the first of them alone, gives up, and the step succeeds without its report.
"""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from threading import Event
from typing import Any

from dagster import PipesMessageReader
from dagster._core.pipes.context import PipesMessageHandler
from dagster._core.pipes.utils import PipesFileMessageReader

_PAUSE_SECONDS = 0.2


class WholeLineReader(PipesMessageReader):
    """Tails a temporary file of its own, as `PipesTempFileMessageReader` does."""

    @contextmanager
    def read_messages(self, handler: PipesMessageHandler) -> Iterator[Any]:
        """Read in a thread for as long as the block lasts; give what the child needs to find the file."""
        with (
            tempfile.TemporaryDirectory() as folder,
            _WholeLines(str(Path(folder) / "messages.jsonl")).read_messages(handler) as where,
        ):
            yield where

    def no_messages_debug_text(self) -> str:
        """Say where messages were looked for."""
        return "Attempted to read messages from a temporary file."


class _WholeLines(PipesFileMessageReader):
    def _reader_thread(self, handler: PipesMessageHandler, is_resource_complete: Event) -> None:
        try:
            for line in whole_lines(Path(self._path), is_resource_complete):
                handler.handle_message(json.loads(line))
        except BaseException as error:
            handler.report_pipes_framework_exception("reader thread", (type(error), error, error.__traceback__))
            raise


def whole_lines(path: Path, is_complete: Event) -> Iterator[str]:
    """Yield the lines of a file that is being written, each when it has its end, until the complete file is read."""
    begun = ""
    with path.open(encoding="utf-8") as file:
        while True:
            was_complete = is_complete.is_set()  # before reading: what is written meanwhile is read in the next round
            part = file.readline()
            begun += part
            if begun.endswith("\n"):
                yield begun
                begun = ""
            elif not part and was_complete:
                return
            elif not part:
                time.sleep(_PAUSE_SECONDS)
