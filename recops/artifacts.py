"""Artefacts that are whole or absent: staged beside their place, listed in a manifest, renamed into it.

A reader opens a finished artefact only through `verify`, which names the file that is wrong.
"""

import fcntl
import hashlib
import json
import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from recops.errors import InputError

MANIFEST = "manifest.json"
_BYTES_AT_ONCE = 2**20
"""Two requests for the interpreter's lock each: with small parts, whoever hashes beside other work holds that up."""


def write_json(path: Path, content: Any) -> None:
    """Write JSON that is equal, byte for byte, for equal content; NaN and infinity raise ValueError."""
    text = json.dumps(content, indent=1, sort_keys=True, ensure_ascii=False, allow_nan=False)
    path.write_text(text + "\n", encoding="utf-8")


def read_json(path: Path) -> Any:
    """Read a JSON file."""
    return json.loads(path.read_text(encoding="utf-8"))


def file_sha256(path: Path) -> str:
    """Return the SHA-256 of a file's bytes, in hexadecimal."""
    digest, part = hashlib.sha256(), bytearray(_BYTES_AT_ONCE)
    with path.open("rb", buffering=0) as file:
        while read := file.readinto(part):
            digest.update(memoryview(part)[:read])
    return digest.hexdigest()


def content_sha256(content: Any) -> str:
    """Return the SHA-256 of a JSON-like value, in hexadecimal; equal values give equal hashes."""
    return hashlib.sha256(json.dumps(content, sort_keys=True, default=str).encode()).hexdigest()


def write_manifest(folder: Path, facts: dict[str, Any]) -> None:
    """List every file of `folder` with size and SHA-256, beside `facts`, in its manifest: the last file written."""
    files = {
        path.relative_to(folder).as_posix(): {"bytes": path.stat().st_size, "sha256": file_sha256(path)}
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.name != MANIFEST
    }
    write_json(folder / MANIFEST, {**facts, "files": files})


def verify(folder: Path) -> dict[str, Any]:
    """Return the manifest of a finished artefact after checking every file that it lists.

    Raises:
        InputError: the artefact or one of its files is missing, truncated or changed.
    """
    remake = f"Run the stage {folder.name} again: recops stage {folder.name} --recipe {folder.parent.name}"
    if not (folder / MANIFEST).is_file():
        raise InputError(folder, found="no manifest", expected="a finished artefact", next_step=f"{remake}.")
    try:
        manifest: dict[str, Any] = read_json(folder / MANIFEST)
    except ValueError as error:
        raise InputError(folder / MANIFEST, found=str(error), expected="whole JSON", next_step=f"{remake}.") from error
    for name, listed in manifest["files"].items():
        path = folder / name
        if not path.is_file():
            raise InputError(path, found="no file", expected="the file that the manifest lists", next_step=f"{remake}.")
        size = path.stat().st_size
        if size != listed["bytes"]:
            raise InputError(path, found=f"{size} bytes", expected=f"{listed['bytes']} bytes", next_step=f"{remake}.")
        if file_sha256(path) != listed["sha256"]:
            raise InputError(path, found="other content", expected="the listed SHA-256", next_step=f"{remake}.")
    return manifest


@contextmanager
def staged(folder: Path) -> Iterator[Path]:
    """Give an empty folder beside `folder` that takes its place when the block ends, and vanishes when it raises."""
    temporary = folder.with_name(f".{folder.name}.partial")
    shutil.rmtree(temporary, ignore_errors=True)
    temporary.mkdir(parents=True)
    try:
        yield temporary
        _replace(temporary, folder)
    finally:
        shutil.rmtree(temporary, ignore_errors=True)


def _replace(temporary: Path, folder: Path) -> None:
    """Rename over an existing folder: the old one is moved aside first, for rename cannot replace a full folder."""
    old = folder.with_name(f".{folder.name}.old")
    shutil.rmtree(old, ignore_errors=True)
    if folder.exists():
        folder.rename(old)
    temporary.rename(folder)
    shutil.rmtree(old, ignore_errors=True)


@contextmanager
def exclusive(lock: Path, *, wait: bool = False) -> Iterator[None]:
    """Hold `lock` for the block. The kernel frees it when the process dies, so that a kill never leaves it behind.

    Args:
        lock: the file to lock; it is created and stays, with the holder's process id in it.
        wait: until it is free, rather than raise.

    Raises:
        InputError: another process holds it and `wait` is false; the message says which.
    """
    lock.parent.mkdir(parents=True, exist_ok=True)
    with lock.open("a+", encoding="utf-8") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
        except BlockingIOError as error:
            file.seek(0)
            holder = file.read().strip() or "unknown"
            step = "Wait until it has finished, or stop it."
            raise InputError(lock, found=f"held by process {holder}", expected="a free lock", next_step=step) from error
        file.truncate(0)
        file.write(str(os.getpid()))
        file.flush()
        yield
