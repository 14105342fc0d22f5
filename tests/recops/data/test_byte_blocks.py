import gzip
from pathlib import Path

import pyarrow as pa
import pytest

from recops.data.byte_blocks import read_blocks
from recops.errors import InputError

TEXT = "".join(f"line {number}\n" for number in range(1, 2001)).encode()


def blocks(path: Path) -> list[tuple[int, bytes]]:
    return [(block.first_line, block.content) for block in read_blocks(path)]


def packed(kind: str, content: bytes) -> bytes:
    return gzip.compress(content) if kind == "gz" else pa.compress(content, codec="zstd", asbytes=True)


@pytest.mark.parametrize("kind", ["plain", "gz", "zst"])
def test_a_file_is_recognised_by_its_content_and_cut_at_line_ends(
    tmp_path: Path, kind: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recops.data.byte_blocks.BLOCK_BYTES", 1000)
    path = tmp_path / "file"
    path.write_bytes(TEXT if kind == "plain" else packed(kind, TEXT))
    found = blocks(path)
    assert len(found) > 10
    assert b"".join(content for _, content in found) == TEXT
    assert all(content.startswith(f"line {first}\n".encode()) for first, content in found)


@pytest.mark.parametrize("kind", ["gz", "zst"])
def test_files_packed_one_after_the_other_are_one_file(tmp_path: Path, kind: str) -> None:
    path = tmp_path / "file"
    path.write_bytes(packed(kind, TEXT) + packed(kind, b"last"))
    assert blocks(path) == [(1, TEXT), (2001, b"last\n")]


@pytest.mark.parametrize("kind", ["gz", "zst"])
@pytest.mark.parametrize("lost", [1, 9, 40])
def test_a_packed_file_that_is_cut_off_is_refused(tmp_path: Path, kind: str, lost: int) -> None:
    path = tmp_path / "file"
    path.write_bytes(packed(kind, TEXT)[:-lost])
    with pytest.raises(InputError, match=r"file: found damage after line \d+ .*Fetch or copy"):
        blocks(path)


def test_a_gzip_file_with_a_changed_byte_is_refused(tmp_path: Path) -> None:
    content = bytearray(gzip.compress(TEXT))
    content[-6] ^= 255
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match="incorrect data check"):
        blocks(tmp_path / "file")


@pytest.mark.parametrize(
    ("start", "kind", "step"),
    [
        (b"PK\x03\x04", "a zip archive", "unzip"),
        ("{}".encode("utf-16"), "text in UTF-16", "iconv"),
        (b"BZh9", "a bzip2 file", "bunzip2"),
        (b"\xfd7zXZ\x00", "an xz file", "unxz"),
        (b"PAR1", "a Parquet file", "files"),
    ],
)
def test_a_file_of_another_kind_is_named_with_what_to_do(tmp_path: Path, start: bytes, kind: str, step: str) -> None:
    (tmp_path / "file").write_bytes(start + b"......")
    with pytest.raises(InputError) as caught:
        blocks(tmp_path / "file")
    assert kind in caught.value.found
    assert step in caught.value.next_step


@pytest.mark.parametrize("content", [b"", b"\xef\xbb\xbf", gzip.compress(b"", mtime=0)])
def test_a_file_without_a_byte_of_text_is_empty(tmp_path: Path, content: bytes) -> None:
    (tmp_path / "file").write_bytes(content)
    with pytest.raises(InputError, match="found an empty file"):
        blocks(tmp_path / "file")


@pytest.mark.parametrize("end", [b"", b"\n"])
def test_a_line_that_is_too_long_is_refused_by_number(
    tmp_path: Path, end: bytes, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recops.data.byte_blocks.BLOCK_BYTES", 64)
    monkeypatch.setattr("recops.data.byte_blocks.MAX_LINE_BYTES", 200)
    (tmp_path / "file").write_bytes(b"short\n" + b"x" * 200 + b"\n" + b"y" * 201 + end)
    with pytest.raises(InputError, match=r"file, line 3: found more than 2\d\d bytes without a line end"):
        blocks(tmp_path / "file")


def test_a_folder_is_no_file(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="Is a directory"):
        blocks(tmp_path)
