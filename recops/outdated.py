"""Which artefacts of a recipe were made from other data than lies there now, read from their manifests alone."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from recops.artifacts import MANIFEST, content_sha256, read_json
from recops.errors import InputError
from recops.paths import Layout
from recops.stage import STAGE_NAMES, STAGES, StageName

DATA: tuple[StageName, ...] = ("raw_data", "validated_splits")


@dataclass(frozen=True)
class Outdated:
    """An artefact whose input is not what lies there.

    Attributes:
        stage: the artefact.
        read: the data that it is made from.
        made_from: SHA-256 of that data's files when it was made, None where there is no artefact yet.
    """

    stage: StageName
    read: StageName
    made_from: str | None

    def __str__(self) -> str:
        if self.made_from is None:
            return f"{self.stage} is not there"
        return f"{self.stage} was made from {self.read} {self.made_from[:12]}"


def outdated_by_data(layout: Layout) -> list[Outdated]:
    """Return every artefact that follows from the data, and is missing or made from other data.

    Raises:
        InputError: the data itself is missing.
    """
    now = {name: data_sha256(layout, name) for name in DATA}
    return [one for name in STAGE_NAMES if name not in DATA for one in _outdated(layout, name, now)]


def data_sha256(layout: Layout, name: StageName) -> str:
    """Return one hash over the files of a data artefact, as the manifests of its readers have it.

    Raises:
        InputError: it is missing.
    """
    manifest = _manifest(layout, name)
    if manifest is None:
        step = f"Run: recops run --job refresh_data --recipe {layout.recipe}"
        raise InputError(layout.artefact(name), found="no manifest", expected="a finished artefact", next_step=step)
    return content_sha256(manifest["files"])


def _outdated(layout: Layout, name: StageName, now: dict[StageName, str]) -> Iterator[Outdated]:
    manifest = _manifest(layout, name)
    for read in STAGES[name].reads:
        if read in now and (manifest is None or manifest["inputs"][read] != now[read]):
            yield Outdated(name, read, manifest["inputs"][read] if manifest else None)


def _manifest(layout: Layout, name: StageName) -> dict[str, Any] | None:
    path = layout.artefact(name) / MANIFEST
    return dict(read_json(path)) if path.is_file() else None
