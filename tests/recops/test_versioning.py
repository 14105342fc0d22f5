import subprocess
from pathlib import Path

import pytest
import yaml

from recops import versioning
from recops.dvc_file import dvc_file_text, record_recipe, recorded_recipes
from recops.errors import InputError, UnavailableError
from recops.stage import STAGE_NAMES, StageName
from recops.versioning import (
    CODE_ROOT,
    Remote,
    clone_at,
    code_files,
    code_sha256,
    git_commit,
    locked_stage,
    output_hash,
    remote_of,
    run_dvc,
)


@pytest.mark.parametrize("name", STAGE_NAMES)
def test_the_code_of_a_stage_exists_and_holds_its_function(name: StageName) -> None:
    files = code_files(name)
    module = versioning.STAGES[name].function.partition(":")[0]
    assert f"{module.replace('.', '/')}.py" in files
    assert all((CODE_ROOT / file).is_file() for file in files)


def test_a_change_of_the_trainer_does_not_touch_what_comes_before_it() -> None:
    for name in ("raw_data", "validated_splits", "sasrec_embeddings", "baselines"):
        assert not [file for file in code_files(name) if file.startswith(("recops/train/", "recops/evaluate/report"))]
    assert "recops/agent/rewards.py" in code_files("grpo_model")


def test_how_runs_are_started_and_recorded_is_no_part_of_an_artefact() -> None:
    outside = {"recops/cli.py", "recops/runner.py", "recops/stages.py", "recops/tracking.py", "recops/versioning.py"}
    for name in STAGE_NAMES:
        assert outside.isdisjoint(code_files(name))


def test_the_hash_of_code_changes_with_one_byte(tmp_path: Path) -> None:
    for file in code_files("raw_data"):
        (tmp_path / file).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / file).write_bytes((CODE_ROOT / file).read_bytes())
    before = code_sha256(tmp_path, "raw_data")
    assert before == code_sha256(CODE_ROOT, "raw_data")
    with (tmp_path / "recops/seeds.py").open("a", encoding="utf-8") as file:
        file.write("\n")
    assert code_sha256(tmp_path, "raw_data") != before


def committed(root: Path, *names: str) -> str:
    """Make a repository with one commit of files that hold "1"; return the commit."""
    root.mkdir(exist_ok=True)
    for name in names:
        (root / name).write_text("1", encoding="utf-8")
    author = ("-c", "user.name=test", "-c", "user.email=test@example.org")
    for arguments in (("init",), ("add", *names), ("commit", "-m", "one")):
        subprocess.run(["git", *author, *arguments], cwd=root, check=True, capture_output=True)
    return git_commit(root)


def test_the_commit_says_when_tracked_files_differ(tmp_path: Path) -> None:
    assert git_commit(tmp_path) == "unversioned"
    clean = committed(tmp_path, "file")
    assert len(clean) == 40
    (tmp_path / "file").write_text("2", encoding="utf-8")
    assert git_commit(tmp_path) == f"{clean}-dirty"


def test_what_a_run_writes_into_dvcs_files_makes_its_commit_not_dirty(tmp_path: Path) -> None:
    commit = committed(tmp_path, "dvc.lock", "params.yaml", "dvc.yaml", "code.py")
    for name in ("dvc.lock", "params.yaml", "dvc.yaml"):
        (tmp_path / name).write_text("2", encoding="utf-8")
    assert git_commit(tmp_path) == commit
    (tmp_path / "code.py").write_text("2", encoding="utf-8")
    assert git_commit(tmp_path) == f"{commit}-dirty"


def test_a_clone_has_the_files_of_its_commit(tmp_path: Path) -> None:
    root = tmp_path / "project"
    first = committed(root, "code.py")
    (root / "code.py").write_text("2", encoding="utf-8")
    clone_at(root, first, tmp_path / "clone")
    assert (tmp_path / "clone" / "code.py").read_text(encoding="utf-8") == "1"
    with pytest.raises(InputError, match="git fetch"):
        clone_at(root, "0" * 40, tmp_path / "other")
    assert not (tmp_path / "other").exists()


def test_what_dvc_says_reaches_the_user(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not inside of a DVC repository"):
        run_dvc(tmp_path, "status")


def script(path: Path, text: str) -> Path:
    path.write_text(f"#!/bin/sh\n{text}\n", encoding="utf-8")
    path.chmod(0o755)
    return path


def test_a_busy_dvc_is_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    body = "if [ -e free ]; then echo done; else touch free; echo 'ERROR: Unable to acquire lock' >&2; exit 1; fi"
    busy_once = script(tmp_path / "dvc", body)
    monkeypatch.setattr(versioning, "dvc_executable", lambda: str(busy_once))
    monkeypatch.setattr(versioning, "_SECONDS_BETWEEN_TRIES", 0.01)
    assert run_dvc(tmp_path, "status") == "done\n"


def test_a_dvc_that_stays_busy_is_reported_with_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    always = script(tmp_path / "dvc", "echo 'ERROR: x is busy, it is being blocked by: 1' >&2; exit 1")
    monkeypatch.setattr(versioning, "dvc_executable", lambda: str(always))
    with pytest.raises(UnavailableError, match="rwlock"):
        run_dvc(tmp_path, "status", wait_seconds=0.0)


def test_dvc_keeps_its_disk_cache_inside_the_project(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    shown = script(tmp_path / "dvc", "echo $DVC_SITE_CACHE_DIR")
    monkeypatch.setattr(versioning, "dvc_executable", lambda: str(shown))
    assert Path(run_dvc(tmp_path, "status").strip()).is_relative_to(tmp_path)


def test_a_stage_that_was_never_recorded_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="raw_data@tiny"):
        locked_stage(tmp_path, "raw_data", "tiny")
    entry = {"outs": [{"path": "data/tiny/raw_data", "md5": "abc.dir"}]}
    (tmp_path / "dvc.lock").write_text(yaml.safe_dump({"stages": {"raw_data@tiny": entry}}), encoding="utf-8")
    assert output_hash(locked_stage(tmp_path, "raw_data", "tiny")) == "abc.dir"


def test_a_new_recipe_is_recorded_once_in_both_files(tmp_path: Path) -> None:
    (tmp_path / "params.yaml").write_text("recipes: [embedded]\n", encoding="utf-8")
    assert record_recipe(tmp_path, "tiny")
    assert not record_recipe(tmp_path, "tiny")
    assert recorded_recipes(tmp_path) == ["embedded", "tiny"]
    assert (tmp_path / "dvc.yaml").read_text(encoding="utf-8") == dvc_file_text(["embedded", "tiny"])


def test_the_default_remote_is_found_however_long_its_address_is(tmp_path: Path) -> None:
    root = tmp_path / "checkout"
    (root / ".dvc").mkdir(parents=True)
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    config = root / ".dvc" / "config"
    config.write_text("[core]\n    analytics = false\n", encoding="utf-8")
    assert remote_of(root) is None
    longer = "a-folder-of-a-long-name/" * 8 + "artefacts"
    config.write_text(
        f"[core]\n    analytics = false\n    remote = shop\n['remote \"shop\"']\n    url = ../../{longer}\n"
        "['remote \"other\"']\n    url = s3://bucket/folder\n",
        encoding="utf-8",
    )
    assert remote_of(root) == Remote("shop", str(tmp_path / longer))
