"""Downloads one published file: goes on where an earlier try ended, whole or absent, its SHA-256 beside it.

While it is incomplete the file is NAME.part, and NAME.part.json tells of which version on the server it is a part.
NAME.sha256 is written as `sha256sum` reads it.
"""

import errno
import http
import json
import re
import shutil
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import NoReturn

import requests

from recops.artifacts import exclusive, file_sha256
from recops.errors import InputError
from recops.progress import progress

CHUNK_BYTES = 2**20
MAX_TRIES = 6
SECONDS_BETWEEN_TRIES = 2.0
TIMEOUT_SECONDS = 30.0

_SHA256 = re.compile(r"[0-9a-f]{64}")
_CONTENT_RANGE = re.compile(r"bytes (?P<first>\d+)-(?P<last>\d+)/(?P<total>\d+|\*)")
_GO_ON = "Run the command again: it goes on where it ended."
_NETWORK_ERRORS = (requests.ConnectionError, requests.Timeout, requests.exceptions.ChunkedEncodingError)
_PASSING = (http.HTTPStatus.TOO_MANY_REQUESTS, *range(500, 600))


@dataclass(frozen=True)
class Download:
    """A file that is there, whole: `was_there` when nothing had to be sent."""

    path: Path
    num_bytes: int
    sha256: str
    was_there: bool


def download(url: str, path: Path, *, sha256: str | None) -> Download:
    """Bring the file at `url` to `path`, or find it there.

    Args:
        url: http or https.
        path: where it is to lie; the folder is made.
        sha256: what its content must have; where it is None, the one recorded beside `path` counts, if there is one.

    Raises:
        InputError: the server has no such file, cannot be reached or sends another file than expected, the disk is
            full, or something else lies at `path`. What was received stays as NAME.part, except when it is wrong.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    with exclusive(path.with_name(f".{path.name}.lock")):
        expected = sha256 or _recorded(path)
        if path.exists():
            return _found(path, expected)
        part = _Part(path)
        _receive(url, part)
        return _finish(part, expected)


class _Part:
    """The beginning of a file, and which version of the file on the server it is the beginning of."""

    def __init__(self, path: Path) -> None:
        self.target, self.path = path, path.with_name(f"{path.name}.part")
        self._facts = path.with_name(f"{path.name}.part.json")

    @property
    def num_bytes(self) -> int:
        return self.path.stat().st_size if self.path.exists() else 0

    @property
    def facts(self) -> dict[str, str]:
        """`url`, `version` (strong ETag or date) and `total` (bytes): empty strings where the server says nothing."""
        try:
            facts: dict[str, str] = json.loads(self._facts.read_text(encoding="utf-8"))
        except (FileNotFoundError, ValueError):
            return {}
        return facts

    def start(self, facts: dict[str, str]) -> None:
        """Begin anew, as a part of the version that `facts` describe."""
        self.path.write_bytes(b"")
        self._facts.write_text(json.dumps(facts), encoding="utf-8")

    def learn_total(self, total: str) -> None:
        """Note how long the whole file is, and keep what was received."""
        self._facts.write_text(json.dumps({**self.facts, "total": total}), encoding="utf-8")

    def drop(self) -> None:
        self.path.unlink(missing_ok=True)
        self._facts.unlink(missing_ok=True)

    def become_whole(self, sha256: str) -> None:
        record = _record_of(self.target)
        record.write_text(f"{sha256}  {self.target.name}\n", encoding="utf-8")
        self.path.replace(self.target)
        self._facts.unlink()


def _receive(url: str, part: _Part) -> None:
    """Ask until the whole file is there; a try that brought something counts as the first again."""
    tries = 0
    with requests.Session() as session:
        while True:
            before = part.num_bytes
            try:
                trouble = _ask(session, url, part)
            except _NETWORK_ERRORS as error:
                trouble = f"no connection, or one that ended after {part.num_bytes} bytes ({_reason(error)})"
            if trouble is None:
                return
            tries = 1 if part.num_bytes > before else tries + 1
            if tries >= MAX_TRIES:
                _refuse(url, f"{trouble}, {MAX_TRIES} times", "the whole file", f"Check the network. {_GO_ON}")
            time.sleep(SECONDS_BETWEEN_TRIES * tries)


def _ask(session: requests.Session, url: str, part: _Part) -> str | None:
    """Send one request for what is missing; return None when the file is whole, or why to ask again."""
    headers, facts = {"Accept-Encoding": "identity"}, part.facts
    if part.num_bytes and facts.get("url") == url and facts["version"]:
        # Where the file on the server is another by now, If-Range makes it send the whole file and not the rest of it.
        headers |= {"Range": f"bytes={part.num_bytes}-", "If-Range": facts["version"]}
    with session.get(url, headers=headers, stream=True, timeout=TIMEOUT_SECONDS) as response:
        status = response.status_code
        if status in _PASSING:
            return f"{status} {response.reason}"
        if status == http.HTTPStatus.OK:
            length = response.headers.get("Content-Length", "")
            part.start({"url": url, "version": _version(response), "total": length})
            return _append(url, response, part)
        if status == http.HTTPStatus.PARTIAL_CONTENT and _continues(response, part):
            return _append(url, response, part)
        if "Range" not in headers:
            _refuse_status(url, response)
        part.drop()  # what the server has is no longer the file that this is a part of: ask for the whole one
        return f"{status} {response.reason} for the rest of the file"


def _continues(response: requests.Response, part: _Part) -> bool:
    """Whether a 206 answer is the rest of the version that the part belongs to.

    A file that came in chunks has no length until now: the rest of it may tell one, or `*` again.
    """
    said = _CONTENT_RANGE.fullmatch(response.headers.get("Content-Range", ""))
    if said is None or _version(response) != part.facts["version"] or int(said["first"]) != part.num_bytes:
        return False
    if said["total"] == "*":
        return not part.facts["total"]
    if int(said["last"]) != int(said["total"]) - 1 or part.facts["total"] not in ("", said["total"]):
        return False
    part.learn_total(said["total"])
    return True


def _version(response: requests.Response) -> str:
    """What If-Range may be asked with: a weak ETag may stand for other bytes."""
    tag = response.headers.get("ETag", "")
    return response.headers.get("Last-Modified", "") if not tag or tag.startswith("W/") else tag


def _append(url: str, response: requests.Response, part: _Part) -> str | None:
    total = int(part.facts["total"] or 0)
    _check_disk(part, total)
    description = f"fetching {part.target.name} (bytes)"
    with _writing(part), part.path.open("ab") as file, progress(description, total or None) as meter:
        meter.advance(part.num_bytes)
        for chunk in response.iter_content(CHUNK_BYTES):
            file.write(chunk)
            meter.advance(len(chunk))
    if total and part.num_bytes != total:
        return f"{part.num_bytes} bytes of {total}"
    return None


def _check_disk(part: _Part, total: int) -> None:
    free, needed = shutil.disk_usage(part.path.parent).free, total - part.num_bytes
    if needed > free:
        found = f"{free:,} bytes free"
        _refuse(part.path.parent, found, f"{needed:,} for {part.target.name}", f"Free the difference. {_GO_ON}")


@contextmanager
def _writing(part: _Part) -> Iterator[None]:
    """Tell a failure of the disk from one of the network, whose errors are OSErrors too."""
    try:
        yield
    except requests.RequestException:
        raise
    except OSError as error:
        step = f"Free space there. {_GO_ON}" if error.errno == errno.ENOSPC else "Mend it, and run the command again."
        raise InputError(
            part.path, found=error.strerror, expected="a disk that takes the file", next_step=step
        ) from error


def _finish(part: _Part, expected: str | None) -> Download:
    digest, num_bytes = file_sha256(part.path), part.num_bytes
    if expected not in (None, digest):
        part.drop()
        record = _record_of(part.target)
        step = f"The published file changed, or was changed on its way. To take what is published now: rm {record}"
        _refuse(part.target, f"SHA-256 {digest} of what was sent", str(expected), step)
    part.become_whole(digest)
    return Download(part.target, num_bytes, digest, was_there=False)


def _found(path: Path, expected: str | None) -> Download:
    digest = file_sha256(path)
    if expected is None:
        step = f"Remove it, or record what it is: cd {path.parent} && sha256sum {path.name} > {_record_of(path).name}"
        _refuse(path, "a file that was not fetched here (no SHA-256 beside it)", "nothing, or a fetched file", step)
    if digest != expected:
        _refuse(
            path,
            f"SHA-256 {digest}",
            expected,
            f"The file was changed. Remove it, and run the command again: rm {path}",
        )
    return Download(path, path.stat().st_size, digest, was_there=True)


def _record_of(path: Path) -> Path:
    return path.with_name(f"{path.name}.sha256")


def _recorded(path: Path) -> str | None:
    record = _record_of(path)
    if not record.is_file():
        return None
    digest = record.read_text(encoding="utf-8").partition(" ")[0].strip()
    if not _SHA256.fullmatch(digest):
        _refuse(record, repr(digest), "a SHA-256 in hexadecimal", f"Remove it: rm {record}")
    return digest


def _refuse_status(url: str, response: requests.Response) -> NoReturn:
    missing = response.status_code in (http.HTTPStatus.NOT_FOUND, http.HTTPStatus.GONE)
    step = "Check the spelling of the category, and the base address." if missing else "Check the base address."
    _refuse(url, f"{response.status_code} {response.reason}", "200 OK", step)


def _reason(error: BaseException) -> str:
    """The innermost cause, without the object names that requests and urllib3 wrap it in."""
    while error.args and isinstance(error.args[0], BaseException):
        error = error.args[0]
    return str(getattr(error, "reason", None) or error).rpartition(": ")[2]


def _refuse(where: object, found: str, expected: str, next_step: str) -> NoReturn:
    raise InputError(where, found=found, expected=expected, next_step=next_step)
