import errno
import hashlib
import io
import json
import os
import socket
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from recops.data import download as module
from recops.data.download import download
from recops.errors import InputError
from tests.recops.data.range_server import Shelf, serving

CONTENT = os.urandom(300_000)
DIGEST = hashlib.sha256(CONTENT).hexdigest()


@pytest.fixture(autouse=True)
def _impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "SECONDS_BETWEEN_TRIES", 0.0)
    monkeypatch.setattr(module, "CHUNK_BYTES", 10_000)


@pytest.fixture
def shelf() -> Iterator[Shelf]:
    with serving(Shelf({"/x.gz": CONTENT})) as shelf:
        yield shelf


@pytest.fixture
def chunked_shelf() -> Iterator[Shelf]:
    with serving(Shelf({"/x.gz": CONTENT}, chunked=True)) as shelf:
        yield shelf


def left(folder: Path) -> set[str]:
    return {path.name for path in folder.iterdir() if not path.name.endswith(".lock")}


def test_a_file_arrives_whole_with_its_checksum_and_is_not_sent_twice(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "new" / "x.gz"
    first = download(f"{shelf.url}/x.gz", path, sha256=None)
    again = download(f"{shelf.url}/x.gz", path, sha256=DIGEST)
    assert path.read_bytes() == CONTENT
    assert (first.sha256, first.num_bytes, first.was_there, again.was_there) == (DIGEST, len(CONTENT), False, True)
    assert path.with_name("x.gz.sha256").read_text() == f"{DIGEST}  x.gz\n"
    assert left(path.parent) == {"x.gz", "x.gz.sha256"}
    assert len(shelf.requests) == 1


def test_a_connection_that_breaks_is_resumed_where_it_ended(shelf: Shelf, tmp_path: Path) -> None:
    shelf.cut_after = [120_000, 50_000]
    download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    assert (tmp_path / "x.gz").read_bytes() == CONTENT
    assert [asked for _, asked in shelf.requests] == [None, "bytes=120000-", "bytes=170000-"]


@pytest.mark.parametrize("kind", ["shelf", "chunked_shelf"])
def test_a_later_command_goes_on_and_keeps_what_it_has(
    kind: str, request: pytest.FixtureRequest, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shelf: Shelf = request.getfixturevalue(kind)
    monkeypatch.setattr(module, "MAX_TRIES", 1)
    shelf.cut_after = [120_000]
    with pytest.raises(InputError, match=r"ended after 120000 bytes.*goes on where it ended"):
        download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    assert left(tmp_path) == {"x.gz.part", "x.gz.part.json"}
    download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    assert (tmp_path / "x.gz").read_bytes() == CONTENT
    assert shelf.requests[-1] == ("/x.gz", "bytes=120000-")


def test_a_server_that_knows_no_ranges_sends_it_again_from_the_start(shelf: Shelf, tmp_path: Path) -> None:
    shelf.cut_after, shelf.ranges = [120_000], False
    download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    assert (tmp_path / "x.gz").read_bytes() == CONTENT


def test_a_file_that_comes_in_chunks_arrives_whole_with_its_checksum(
    chunked_shelf: Shelf, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    first = download(f"{chunked_shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    again = download(f"{chunked_shelf.url}/x.gz", tmp_path / "x.gz", sha256=DIGEST)
    assert (tmp_path / "x.gz").read_bytes() == CONTENT
    assert (first.sha256, first.num_bytes, again.was_there) == (DIGEST, len(CONTENT), True)
    assert left(tmp_path) == {"x.gz", "x.gz.sha256"}
    assert capsys.readouterr().out == "", "no line for every chunk: of how many is not known"


def test_another_checksum_of_what_came_in_chunks_leaves_nothing(chunked_shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"SHA-256 {DIGEST} of what was sent; expected {'0' * 64}"):
        download(f"{chunked_shelf.url}/x.gz", tmp_path / "x.gz", sha256="0" * 64)
    assert left(tmp_path) == set()


@pytest.mark.parametrize("range_total", [None, "*"])
def test_chunks_that_break_off_are_resumed_where_they_ended(
    chunked_shelf: Shelf, tmp_path: Path, range_total: str | None
) -> None:
    chunked_shelf.cut_after, chunked_shelf.range_total = [120_000, 50_000], range_total
    download(f"{chunked_shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    assert (tmp_path / "x.gz").read_bytes() == CONTENT
    assert [asked for _, asked in chunked_shelf.requests] == [None, "bytes=120000-", "bytes=170000-"]


@pytest.mark.parametrize("moved", [(5, 0), (0, 5)])
def test_another_part_than_the_rest_of_the_file_is_not_put_to_it(
    chunked_shelf: Shelf, tmp_path: Path, moved: tuple[int, int]
) -> None:
    chunked_shelf.cut_after, chunked_shelf.range_moved = [120_000], moved
    download(f"{chunked_shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    assert (tmp_path / "x.gz").read_bytes() == CONTENT
    assert [asked for _, asked in chunked_shelf.requests] == [None, "bytes=120000-", None]


@pytest.mark.parametrize("honest", [True, False])
def test_a_file_that_changed_between_the_parts_is_not_put_together_from_two(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, honest: bool
) -> None:
    monkeypatch.setattr(module, "MAX_TRIES", 1)
    shelf.cut_after = [120_000]
    with pytest.raises(InputError):
        download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    shelf.files["/x.gz"] = new = os.urandom(299_000)
    shelf.etag = '"two"' if honest else shelf.etag  # a server that gives another file the same tag: the length tells
    monkeypatch.setattr(module, "MAX_TRIES", 3)
    download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    assert (tmp_path / "x.gz").read_bytes() == new


def test_a_part_that_is_longer_than_the_file_is_thrown_away(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "x.gz.part").write_bytes(bytes(400_000))
    facts = {"url": f"{shelf.url}/x.gz", "version": shelf.etag, "total": "500000"}
    (tmp_path / "x.gz.part.json").write_text(json.dumps(facts))
    download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    assert (tmp_path / "x.gz").read_bytes() == CONTENT


def test_a_busy_server_is_asked_again(shelf: Shelf, tmp_path: Path) -> None:
    shelf.statuses = [503, 429]
    assert download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None).sha256 == DIGEST


def test_a_body_shorter_than_said_is_refused(shelf: Shelf, tmp_path: Path) -> None:
    shelf.extra_length, shelf.ranges = 10, False
    with pytest.raises(InputError, match=r"after 300000 bytes .* times; expected the whole file"):
        download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    assert not (tmp_path / "x.gz").exists()


def test_a_file_that_is_not_published_is_told_at_once(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"/y\.gz: found 404 Not Found; .*spelling of the category"):
        download(f"{shelf.url}/y.gz", tmp_path / "y.gz", sha256=None)
    assert (len(shelf.requests), left(tmp_path)) == (1, set())


def test_no_network_is_told_without_a_wall_of_objects(tmp_path: Path) -> None:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{free.getsockname()[1]}/x.gz"
    with pytest.raises(InputError, match=r"no connection.*Connection refused.*Check the network") as caught:
        download(url, tmp_path / "x.gz", sha256=None)
    assert "object at" not in str(caught.value)


def test_another_checksum_than_expected_leaves_nothing(shelf: Shelf, tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"SHA-256 {DIGEST} of what was sent; expected {'0' * 64}"):
        download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256="0" * 64)
    assert left(tmp_path) == set()


def test_a_file_fetched_anew_must_be_the_recorded_one(shelf: Shelf, tmp_path: Path) -> None:
    (tmp_path / "x.gz.sha256").write_text(f"{'0' * 64}  x.gz\n")
    with pytest.raises(InputError, match="The published file changed"):
        download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)


def test_a_file_that_was_changed_or_comes_from_elsewhere_is_not_taken(shelf: Shelf, tmp_path: Path) -> None:
    path = tmp_path / "x.gz"
    path.write_bytes(b"mine")
    with pytest.raises(InputError, match="not fetched here"):
        download(f"{shelf.url}/x.gz", path, sha256=None)
    (tmp_path / "x.gz.sha256").write_text(f"{DIGEST}  x.gz\n")
    with pytest.raises(InputError, match="The file was changed"):
        download(f"{shelf.url}/x.gz", path, sha256=None)
    assert path.read_bytes() == b"mine"


def test_too_small_a_disk_is_told_before_anything_is_sent(
    shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    usage = type("Usage", (), {"free": 1000})
    monkeypatch.setattr(module.shutil, "disk_usage", lambda _: usage)
    with pytest.raises(InputError, match=r"found 1,000 bytes free; expected 300,000 for x\.gz"):
        download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)


def test_a_disk_that_fills_up_keeps_the_part(shelf: Shelf, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Full(io.FileIO):
        def write(self, content: Any) -> int:
            if self.tell() > 100_000:
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
            return super().write(content)

    real = Path.open
    with monkeypatch.context() as patch:
        patch.setattr(
            Path, "open", lambda self, mode="r", **more: Full(self, "ab") if mode == "ab" else real(self, mode, **more)
        )
        with pytest.raises(InputError, match=r"x\.gz\.part: found No space left on device; .*Free space there"):
            download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    download(f"{shelf.url}/x.gz", tmp_path / "x.gz", sha256=None)
    assert (tmp_path / "x.gz").read_bytes() == CONTENT
    assert shelf.requests[-1][1] is not None
