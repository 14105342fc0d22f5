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
    folder.mkdir()
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
