"""A real HTTP server for downloads: ranges, ETags, and every way in which a transfer goes wrong, on request."""

import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

CHUNK_BYTES = 10_000


@dataclass
class Shelf:
    """What the server gives: `cut_after` bytes of a body and then no more, once per entry; `statuses` before that.

    `chunked`: a body comes without its length, in chunks; `range_total` is what the rest of a file says of the whole;
    `range_moved`: by how many bytes the rest of a file begins later than asked, and ends before the end.
    """

    files: dict[str, bytes]
    etag: str = '"one"'
    ranges: bool = True
    cut_after: list[int] = field(default_factory=list)
    statuses: list[int] = field(default_factory=list)
    extra_length: int = 0
    chunked: bool = False
    range_total: str | None = None
    range_moved: tuple[int, int] = (0, 0)
    requests: list[tuple[str, str | None]] = field(default_factory=list)
    url: str = ""


@contextmanager
def serving(shelf: Shelf) -> Iterator[Shelf]:
    class Handler(BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1" if shelf.chunked else "HTTP/1.0"

        def log_message(self, format: str, *arguments: object) -> None:
            """Keep the tests' output clean."""

        def do_GET(self) -> None:
            shelf.requests.append((self.path, self.headers.get("Range")))
            content = shelf.files.get(self.path)
            status = shelf.statuses.pop(0) if shelf.statuses else 200 if content is not None else 404
            if status != 200 or content is None:
                self.send_error(status)
                return
            start = self._start()
            if start and start >= len(content):
                self.send_response(416)
                self.send_header("Content-Range", f"bytes */{len(content)}")
                self.send_header("Content-Length", "0")
                self.end_headers()
                return
            self.send_response(206 if start else 200)
            self.send_header("ETag", shelf.etag)
            end = len(content)
            if start:
                start, end = start + shelf.range_moved[0], end - shelf.range_moved[1]
                total = shelf.range_total or len(content)
                self.send_header("Content-Range", f"bytes {start}-{end - 1}/{total}")
            length = ("Content-Length", str(end - start + shelf.extra_length))
            self.send_header(*(("Transfer-Encoding", "chunked") if shelf.chunked else length))
            self.end_headers()
            cut = shelf.cut_after.pop(0) if shelf.cut_after else None
            body = content[start:end][:cut]
            self.wfile.write(_in_chunks(body, whole=cut is None) if shelf.chunked else body)
            self.close_connection = True

        def _start(self) -> int:
            asked = re.fullmatch(r"bytes=(\d+)-", self.headers.get("Range", ""))
            same = self.headers.get("If-Range") == shelf.etag
            return int(asked[1]) if asked and same and shelf.ranges else 0

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    shelf.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield shelf
    finally:
        server.shutdown()
        server.server_close()


def _in_chunks(body: bytes, *, whole: bool) -> bytes:
    """Return a body in chunks, with the last one, which is empty, only where the body is whole."""
    chunks = [body[place : place + CHUNK_BYTES] for place in range(0, len(body), CHUNK_BYTES)]
    return b"".join(b"%x\r\n%s\r\n" % (len(chunk), chunk) for chunk in chunks) + (b"0\r\n\r\n" if whole else b"")
