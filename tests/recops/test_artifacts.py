import hashlib
import multiprocessing
import os
from pathlib import Path

import pytest

from recops.artifacts import (
    MANIFEST,
    content_sha256,
    exclusive,
    file_sha256,
    read_json,
    staged,
    verify,
    write_json,
    write_manifest,
)
from recops.errors import InputError


def finished_artefact(folder: Path) -> Path:
    with staged(folder) as out:
        (out / "inner").mkdir()
        (out / "inner" / "numbers.txt").write_text("123", encoding="utf-8")
        write_manifest(out, {"stage": "raw_data"})
    return folder


def test_a_finished_artefact_verifies_and_lists_every_file(tmp_path: Path) -> None:
    manifest = verify(finished_artefact(tmp_path / "raw_data"))
    assert manifest["files"]["inner/numbers.txt"]["bytes"] == 3
    assert manifest["stage"] == "raw_data"


@pytest.mark.parametrize("size", [0, 3, 4, 10])
def test_the_hash_of_a_file_is_of_all_its_bytes_in_however_many_parts_it_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int
) -> None:
    monkeypatch.setattr("recops.artifacts._BYTES_AT_ONCE", 4)
    content = b"0123456789"[:size]
    (tmp_path / "x").write_bytes(content)
    assert file_sha256(tmp_path / "x") == hashlib.sha256(content).hexdigest()


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda path: path.unlink(), "no file"),
        (lambda path: path.write_text("12", encoding="utf-8"), "2 bytes"),
        (lambda path: path.write_text("124", encoding="utf-8"), "other content"),
    ],
)
def test_verify_names_the_file_that_is_wrong(tmp_path: Path, damage, words: str) -> None:
    damage(finished_artefact(tmp_path / "raw_data") / "inner" / "numbers.txt")
    with pytest.raises(InputError, match=r"numbers\.txt") as caught:
        verify(tmp_path / "raw_data")
    assert words in caught.value.found


def test_verify_names_a_manifest_that_is_cut_off(tmp_path: Path) -> None:
    manifest = finished_artefact(tmp_path / "raw_data") / MANIFEST
    manifest.write_bytes(manifest.read_bytes()[:-9])
    with pytest.raises(InputError, match=r"manifest\.json"):
        verify(tmp_path / "raw_data")


def test_verify_says_which_stage_makes_a_missing_artefact(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="recops stage raw_data --recipe embedded"):
        verify(tmp_path / "embedded" / "raw_data")


def write_half(folder: Path) -> None:
    with staged(folder) as out:
        (out / "half").mkdir()
        raise FileExistsError


def test_an_error_leaves_the_artefact_that_was_there_and_nothing_beside_it(tmp_path: Path) -> None:
    folder = finished_artefact(tmp_path / "raw_data")
    with pytest.raises(FileExistsError):
        write_half(folder)
    assert [path.name for path in tmp_path.iterdir()] == ["raw_data"]
    verify(folder)


def test_a_new_artefact_takes_the_place_of_the_old_one(tmp_path: Path) -> None:
    folder = finished_artefact(tmp_path / "raw_data")
    with staged(folder) as out:
        write_manifest(out, {"stage": "raw_data"})
    assert [path.name for path in folder.iterdir()] == [MANIFEST]
    assert [path.name for path in tmp_path.iterdir()] == ["raw_data"]


def test_what_a_killed_run_left_is_cleared_before_the_next_one_writes(tmp_path: Path) -> None:
    left = tmp_path / ".raw_data.partial"
    left.mkdir()
    (left / "half").write_text("", encoding="utf-8")
    folder = finished_artefact(tmp_path / "raw_data")
    assert not (folder / "half").exists()


def test_json_is_the_same_for_the_same_content_and_refuses_nan(tmp_path: Path) -> None:
    one, other = tmp_path / "one.json", tmp_path / "other.json"
    write_json(one, {"b": 1, "a": [2.5, "é"]})
    write_json(other, {"a": [2.5, "é"], "b": 1})
    assert one.read_bytes() == other.read_bytes()
    assert read_json(one) == {"a": [2.5, "é"], "b": 1}
    with pytest.raises(ValueError, match="Out of range"):
        write_json(one, {"a": float("nan")})


def test_hashes_of_content_differ_when_a_value_differs() -> None:
    assert content_sha256({"a": 1, "b": 2}) == content_sha256({"b": 2, "a": 1})
    assert content_sha256({"a": 1}) != content_sha256({"a": 2})


def test_a_held_lock_names_its_holder(tmp_path: Path) -> None:
    lock, held = tmp_path / "stage.lock", f"held by process {os.getpid()}"
    with exclusive(lock), pytest.raises(InputError, match=held), exclusive(lock):
        pass


def test_a_free_lock_can_be_taken_again(tmp_path: Path) -> None:
    for _ in range(2):
        with exclusive(tmp_path / "stage.lock"):
            pass


def append_twice(lock: Path, log: Path) -> None:
    with exclusive(lock, wait=True):
        for word in ("in", "out"):
            with log.open("a", encoding="utf-8") as file:
                file.write(f"{word} ")


def test_waiting_processes_enter_one_after_the_other(tmp_path: Path) -> None:
    context = multiprocessing.get_context("fork")
    arguments = (tmp_path / "a.lock", tmp_path / "log")
    processes = [context.Process(target=append_twice, args=arguments) for _ in range(4)]
    for process in processes:
        process.start()
    for process in processes:
        process.join()
    assert (tmp_path / "log").read_text(encoding="utf-8") == "in out " * 4
