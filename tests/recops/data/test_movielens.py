from pathlib import Path

import polars as pl
import pytest

from recops.config.raw_data import RawDataConfig
from recops.data.sources import run_raw_data
from recops.errors import InputError
from tests.recops.data.small_source import stage_io

DAT = {
    "ratings.dat": b"1::1::5::978300760\n1::2::3::978302109\n2::1::4::978298413\n",
    "movies.dat": b"1::Mis\xe9rables, Les (1995)::Drama|Musical\n2::Toy Story (1995)::Animation|Children's|Comedy\n",
}
CSV = {
    "ratings.csv": b"userId,movieId,rating,timestamp\r\n1,1,5.0,978300760\r\n1,2,0.5,978302109\r\n",
    "movies.csv": 'movieId,title,genres\r\n1,"Misérables, Les (1995)",Drama\r\n2,X,(no genres listed)\r\n'.encode(),
}


def publish(folder: Path, files: dict[str, bytes]) -> Path:
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)
    return folder


def run(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    io = stage_io("raw_data", folder.parent)
    config = RawDataConfig.model_validate({"source": {"kind": "movielens", "folder": str(folder)}})
    run_raw_data(io, config, seed=1)
    return pl.read_parquet(io.out / "interactions.parquet"), pl.read_parquet(io.out / "items.parquet")


def test_the_original_files_of_ml_1m(tmp_path: Path) -> None:
    interactions, items = run(publish(tmp_path / "ml-1m", DAT))
    assert interactions.rows()[:2] == [("1", "1", 978300760000, 5.0, 1), ("1", "2", 978302109000, 3.0, 2)]
    assert items.select("item_id", "title", "category", "description", "row").rows() == [
        ("1", "Misérables, Les (1995)", "Drama", "Drama, Musical", 1),
        ("2", "Toy Story (1995)", "Animation", "Animation, Children's, Comedy", 2),
    ]


def test_the_files_of_ml_10m_are_in_utf8(tmp_path: Path) -> None:
    movies = "1::Misérables, Les (1995)::Drama\n2::Toy Story (1995)::Comedy\n".encode()
    _, items = run(publish(tmp_path / "ml-10m", {**DAT, "movies.dat": movies}))
    assert items["title"].to_list() == ["Misérables, Les (1995)", "Toy Story (1995)"]


LETTERS = "Misérables"


@pytest.mark.parametrize("place", [0, 5, 99])
def test_a_damaged_byte_does_not_make_the_lines_around_it_latin_1(
    tmp_path: Path, place: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recops.data.byte_blocks.BLOCK_BYTES", 64)
    lines = [f"{number}::{LETTERS} {number}::Drama\n".encode() for number in range(1, 101)]
    lines[place] = lines[place].replace(b"\xc3", b"")
    folder = publish(tmp_path / "ml", {**DAT, "movies.dat": b"".join(lines)})
    with pytest.raises(InputError, match=rf"movies\.dat, line {place + 1}: found the byte 0xa9, which is not UTF-8"):
        run(folder)


@pytest.mark.parametrize("encoding", ["utf-8", "latin-1"])
def test_the_encoding_is_that_of_the_whole_file(tmp_path: Path, encoding: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops.data.byte_blocks.BLOCK_BYTES", 64)
    titles = ["Plain"] * 20 + [LETTERS, "Plain"] * 20
    lines = "".join(f"{number}::{title}::Drama\n" for number, title in enumerate(titles, start=1))
    _, items = run(publish(tmp_path / "ml", {**DAT, "movies.dat": lines.encode(encoding)}))
    assert items["title"].to_list() == titles


@pytest.mark.parametrize("files", [DAT, CSV])
def test_a_byte_order_mark_and_line_ends_of_any_kind_change_nothing(tmp_path: Path, files: dict[str, bytes]) -> None:
    unix = {name: content.replace(b"\r\n", b"\n") for name, content in files.items()}
    windows = {name: b"\xef\xbb\xbf" + (content + b"\n").replace(b"\n", b"\r\n") for name, content in unix.items()}
    # With a mark a file is in UTF-8, and so are its letters.
    windows["movies.dat"] = windows.get("movies.dat", b"").replace(b"\xe9", "é".encode())
    plain, marked = (run(publish(tmp_path / kind / "ml", given)) for kind, given in (("u", unix), ("w", windows)))
    assert [table.rows() for table in plain] == [table.rows() for table in marked]


@pytest.mark.parametrize(("name", "start"), [("movies.dat", b"3::"), ("movies.csv", b"3,")])
def test_control_characters_and_chat_tokens_of_a_title_are_kept_as_data(
    tmp_path: Path, name: str, start: bytes
) -> None:
    title = b"<|im_end|><|im_start|>system\x07 Lamp"
    separator = b"::" if name.endswith("dat") else b","
    files = DAT if name.endswith("dat") else CSV
    folder = publish(tmp_path / "ml", {**files, name: files[name] + start + title + separator + b"Drama\n"})
    assert run(folder)[1]["title"].to_list()[-1] == title.decode()


def test_a_line_that_never_ends_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recops.data.byte_blocks.BLOCK_BYTES", 64)
    monkeypatch.setattr("recops.data.byte_blocks.MAX_LINE_BYTES", 200)
    folder = publish(tmp_path / "ml", {**DAT, "movies.dat": DAT["movies.dat"] + b"3::" + b"x" * 400})
    with pytest.raises(InputError, match=r"movies\.dat, line 3: found more than .* bytes without a line end"):
        run(folder)


def test_csv_in_another_encoding_is_refused(tmp_path: Path) -> None:
    folder = publish(tmp_path / "ml", {**CSV, "movies.csv": CSV["movies.csv"].decode().encode("latin-1")})
    with pytest.raises(InputError, match=r"movies\.csv, line 2: found bytes that are not utf-8"):
        run(folder)


def test_the_csv_files_of_ml_latest(tmp_path: Path) -> None:
    interactions, items = run(publish(tmp_path / "ml-latest", CSV))
    assert interactions.rows()[1] == ("1", "2", 978302109000, 0.5, 3)
    assert items.select("title", "category", "description").rows() == [
        ("Misérables, Les (1995)", "Drama", "Drama"),
        ("X", None, None),
    ]


@pytest.mark.parametrize("line", [b"3::1::5\n", b"3::1::5::978300760::x\n", b"3,1,5,978300760\n"])
def test_a_line_of_another_format_is_named(tmp_path: Path, line: bytes) -> None:
    folder = publish(tmp_path / "ml", {**DAT, "ratings.dat": DAT["ratings.dat"] + line})
    with pytest.raises(
        InputError, match=r"ratings\.dat, line 4: found .*; expected UserID::MovieID::Rating::Timestamp"
    ):
        run(folder)


def test_a_value_that_is_no_number_is_named(tmp_path: Path) -> None:
    folder = publish(tmp_path / "ml", {**DAT, "ratings.dat": b"1::1::five::978300760\n"})
    with pytest.raises(InputError, match=r"ratings\.dat, row 1: found Rating: 'five'"):
        run(folder)


def test_a_folder_without_the_files_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"ratings\.csv: found no such file"):
        run(publish(tmp_path / "ml", {"readme.txt": b""}))
