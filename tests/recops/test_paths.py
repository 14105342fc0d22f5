from pathlib import Path

import pytest

from recops.errors import InputError
from recops.paths import Layout, project_root
from recops.stage import STAGE_NAMES


def test_no_two_stages_share_a_folder() -> None:
    layout = Layout(Path("/root"), "embedded")
    folders = {layout.artefact(name) for name in STAGE_NAMES}
    assert len(folders) == len(STAGE_NAMES)
    assert all(one not in other.parents for one in folders for other in folders)


def test_checkpoints_and_locks_lie_outside_every_artefact() -> None:
    layout = Layout(Path("/root"), "embedded")
    for name in STAGE_NAMES:
        for path in (layout.checkpoints(name), layout.lock(name)):
            assert not any(layout.artefact(other) in path.parents for other in STAGE_NAMES)


@pytest.mark.parametrize("name", ["", "../embedded", "Embedded", "a b", "1st", "a" * 50])
def test_a_name_that_would_need_quoting_is_refused(name: str) -> None:
    with pytest.raises(InputError, match="recipe"):
        Layout(Path("/root"), name)


def test_the_root_can_be_set(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("RECOPS_ROOT", str(tmp_path))
    assert project_root() == tmp_path
    monkeypatch.delenv("RECOPS_ROOT")
    assert (project_root() / "recops" / "paths.py").is_file()
