"""Source `movielens`: published ratings and movies, with `::` (ml-1m: latin-1, ml-10m: UTF-8) or as CSV (ml-latest).

Harper and Konstan 2015, "The MovieLens Datasets: History and Context". Times are seconds. The first genre of a movie is
its category, all of them are its description. Movies get no average rating: that of all ratings would know later ones.
"""

import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import polars as pl

from recops.config.raw_data import CsvConfig
from recops.data import schema
from recops.data.byte_blocks import read_blocks
from recops.data.tables import read_table
from recops.data.values import as_milliseconds, as_number, as_text
from recops.errors import InputError

_CSV = CsvConfig(delimiter=",", encoding="utf-8")
_RATINGS = {"csv": ("userId", "movieId", "rating", "timestamp"), "dat": ("UserID", "MovieID", "Rating", "Timestamp")}
_MOVIES = {"csv": ("movieId", "title", "genres"), "dat": ("MovieID", "Title", "Genres")}
_SEPARATOR = "::"
_NO_GENRES = "(no genres listed)"
_NO_LETTER = re.compile("[\udc80-\udcff]")  # how a byte that is not UTF-8 is decoded
_LETTER = re.compile("[^\x00-\x7f\udc80-\udcff]")


def read_ratings(path: Path) -> Iterator[pl.DataFrame]:
    """Give the ratings of a file as interactions, part by part.

    Raises:
        InputError: the file or one of its lines cannot be read; the message names both.
    """
    names = _RATINGS[path.suffix[1:]]
    for table in _read(path, names):
        user, item, rating, time = names
        frame = pl.DataFrame(
            {
                "user_id": as_text(table, user, path),
                "item_id": as_text(table, item, path),
                "timestamp": as_milliseconds(table, time, path, "s"),
                "rating": as_number(table, rating, path),
                "row": table["row"],
            }
        )
        yield schema.in_schema(frame, schema.INTERACTIONS)


def read_movies(path: Path) -> Iterator[pl.DataFrame]:
    """Give the movies of a file as items, part by part.

    Raises:
        InputError: as `read_ratings`.
    """
    names = _MOVIES[path.suffix[1:]]
    for table in _read(path, names):
        movie, title, genres = (as_text(table, name, path) for name in names)
        genres = genres.set(genres == _NO_GENRES, None).str.split("|")
        frame = pl.DataFrame(
            {
                "item_id": movie,
                "title": title,
                "category": genres.list.first(),
                "store": pl.Series([None] * len(table), dtype=pl.String),
                "price": pl.Series([None] * len(table), dtype=pl.Float32),
                "average_rating": pl.Series([None] * len(table), dtype=pl.Float32),
                "description": genres.list.join(", "),
                "row": table["row"],
            }
        )
        yield schema.in_schema(frame, schema.ITEMS)


def _read(path: Path, names: Sequence[str]) -> Iterator[pl.DataFrame]:
    return read_table(path, names, _CSV) if path.suffix == ".csv" else _read_dat(path, names)


def _encoding(path: Path) -> str:
    """Return utf-8 or latin-1, of a whole file: one damaged byte does not make the lines around it latin-1.

    Latin-1 is never valid UTF-8 by chance: an accented letter would have to be followed by certain signs.

    Raises:
        InputError: the file has letters of UTF-8, and bytes that are none.
    """
    has_letters, wrong = False, None
    for block in read_blocks(path):
        text = block.content.decode("utf-8", errors="surrogateescape")
        has_letters = has_letters or _LETTER.search(text) is not None
        if wrong is None and (found := _NO_LETTER.search(text)):
            wrong = block.first_line + text.count("\n", 0, found.start()), ord(found[0]) - 0xDC00
    if wrong is None or not has_letters:
        return "utf-8" if wrong is None else "latin-1"
    line, byte = wrong
    raise InputError(
        f"{path}, line {line}",
        found=f"the byte 0x{byte:02x}, which is not UTF-8, in a file with letters of UTF-8",
        expected="one encoding, UTF-8 or latin-1",
        next_step="Mend the line, or unpack the published archive again.",
    )


def _read_dat(path: Path, names: Sequence[str]) -> Iterator[pl.DataFrame]:
    encoding = "ascii"
    for block in read_blocks(path):
        if encoding == "ascii" and not block.content.isascii():
            encoding = _encoding(path)
        lines = pl.Series("line", block.content.decode(encoding).split("\n")[:-1], dtype=pl.String).str.strip_chars()
        table = (
            lines.to_frame().with_row_index("row", offset=block.first_line).with_columns(pl.col("row").cast(pl.Int64))
        )
        table = table.filter(pl.col("line") != "").with_columns(pl.col("line").str.split(_SEPARATOR).alias("fields"))
        odd = table.filter(pl.col("fields").list.len() != len(names))
        if len(odd):
            raise InputError(
                f"{path}, line {odd.item(0, 'row')}",
                found=repr(odd.item(0, "line")[:120]),
                expected=_SEPARATOR.join(names),
                next_step="Mend or remove the line, or unpack the published archive again.",
            )
        yield table.select("row", *(pl.col("fields").list.get(place).alias(name) for place, name in enumerate(names)))
