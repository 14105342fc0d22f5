"""Which version of its source's files a recipe was read from, and which version lies there now."""

from dataclasses import dataclass
from pathlib import Path

from recops.artifacts import MANIFEST, content_sha256, file_sha256, read_json
from recops.config.raw_data import SourceConfig
from recops.data.source_files import find_source_files
from recops.paths import Layout

Stamps = list[list[str | int]]
"""Path in the source's folder, bytes, nanoseconds of the last change."""


@dataclass(frozen=True)
class SourceVersion:
    """The files of a source as they lie there.

    Attributes:
        stamps: by which an unchanged file is known without reading it.
        sha256: of the content of all files.
    """

    stamps: Stamps
    sha256: str


def source_version(source: SourceConfig, root: Path, before: SourceVersion | None) -> SourceVersion:
    """Return the version of a source's files; they are read only where a stamp is not that of `before`.

    Raises:
        InputError: a file is missing, or a variable in the folder is not set.
    """
    files = find_source_files(source, root)
    paths = (*files.interactions, *files.items)
    stamps = [_stamp(path, files.folder) for path in paths]
    if before and before.stamps == stamps:
        return before
    hashes = {path.relative_to(files.folder).as_posix(): file_sha256(path) for path in paths}
    return SourceVersion(stamps, content_sha256(hashes))


def made_from(layout: Layout) -> str | None:
    """Return the content hash of the files that `raw_data` was read from, or None where it is not there."""
    manifest = layout.artefact("raw_data") / MANIFEST
    return content_sha256(read_json(manifest)["report"]["source_sha256"]) if manifest.is_file() else None


def _stamp(path: Path, folder: Path) -> list[str | int]:
    facts = path.stat()
    return [path.relative_to(folder).as_posix(), facts.st_size, facts.st_mtime_ns]
