"""What cannot be made again is said before anything is written; the store of MLflow and the repositories are real."""

import subprocess
from collections.abc import Callable, Mapping
from pathlib import Path

import pytest
import yaml

from recops.artifacts import MANIFEST, write_json
from recops.errors import InputError
from recops.rebuild.rebuild import rebuild
from recops.rebuild.recorded import recorded_run
from recops.runner import RECIPE
from recops.tracked_run import tracked_run

COMMIT = "c" * 40
Recorded = Callable[..., str]


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("project")


@pytest.fixture
def recorded(root: Path, tmp_path: Path) -> Recorded:
    def record(tags: Mapping[str, str], *names: str) -> str:
        content = {MANIFEST: {"files": {}}, RECIPE: {"name": "small"}, "dvc.lock": {"stages": {}}}
        with tracked_run(root, experiment="small", name="x", parameters={}, tags=tags, resume=None) as tracker:
            for name in names:
                write = write_json if name == MANIFEST else lambda path, value: path.write_text(yaml.safe_dump(value))
                write(tmp_path / name, content[name])
                tracker.log_file(tmp_path / name)
        return tracker.run_id

    return record


def test_a_run_tells_how_it_was_made(root: Path, recorded: Recorded) -> None:
    tags = {"stage": "validated_splits", "git_commit": COMMIT}
    run = recorded_run(root, recorded(tags, MANIFEST, RECIPE, "dvc.lock"))
    assert (run.target, run.commit, run.manifest) == ("validated_splits@small", COMMIT, {"files": {}})
    assert run.lock is not None
    assert recorded_run(root, recorded(tags, MANIFEST, RECIPE)).lock is None


@pytest.mark.parametrize(
    ("tags", "names", "words"),
    [
        ({"action": "promote"}, (), "a run that did promote"),
        ({"stage": "raw_data", "git_commit": f"{COMMIT}-dirty"}, (MANIFEST, RECIPE), "changes on top of cccccccccccc"),
        ({"stage": "raw_data", "git_commit": "unversioned"}, (MANIFEST, RECIPE), "no commit"),
        ({"stage": "raw_data", "git_commit": COMMIT}, (RECIPE,), "no manifest.json"),
        ({"stage": "raw_data", "git_commit": COMMIT}, (MANIFEST,), "no recipe.yaml"),
    ],
)
def test_what_cannot_be_made_again_is_said(
    root: Path, recorded: Recorded, tmp_path: Path, tags: dict[str, str], names: tuple[str, ...], words: str
) -> None:
    with pytest.raises(InputError, match=words):
        rebuild(root, recorded(tags, *names), tmp_path / "again", compute=True)
    assert not (tmp_path / "again").exists()


def test_an_unknown_run_a_full_folder_and_a_missing_commit_are_named(
    root: Path, recorded: Recorded, tmp_path: Path
) -> None:
    with pytest.raises(InputError, match="no such run"):
        rebuild(root, "0" * 32, tmp_path / "again", compute=True)
    run_id = recorded({"stage": "raw_data", "git_commit": COMMIT}, MANIFEST, RECIPE)
    with pytest.raises(InputError, match="something in it"):
        rebuild(root, run_id, root, compute=True)
    subprocess.run(["git", "init", "--quiet"], cwd=root, check=True)
    with pytest.raises(InputError, match=f"no commit {COMMIT}"):
        rebuild(root, run_id, tmp_path / "again", compute=True)
    assert not (tmp_path / "again").exists()
