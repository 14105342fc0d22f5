"""Which files a source names: a folder with variables of the environment, and names or patterns in it."""

from dataclasses import dataclass
from pathlib import Path

from recops.config.raw_data import AmazonReviews2023Config, FileNames, FilesConfig, MovieLensConfig, SourceConfig
from recops.config.variables import expand_variables
from recops.errors import InputError

_PATTERN_CHARACTERS = "*?["
_SHOWN_NAMES = 20


@dataclass(frozen=True)
class SourceFiles:
    """The files of a source: `folder` is absolute; both tuples are empty where a source reads none."""

    folder: Path
    interactions: tuple[Path, ...]
    items: tuple[Path, ...]


def find_source_files(source: SourceConfig, root: Path) -> SourceFiles:
    """Return the files that a recipe's source reads.

    Raises:
        InputError: one is missing, or a variable in the folder is not set.
    """
    if source.kind == "simulated_store":
        return SourceFiles(root, (), ())
    folder = source_folder(source.folder, root)
    interactions, items = _names(source, folder)
    return SourceFiles(folder, source_files(folder, interactions), source_files(folder, items))


def _names(
    source: AmazonReviews2023Config | MovieLensConfig | FilesConfig, folder: Path
) -> tuple[FileNames, FileNames]:
    if source.kind == "files":
        return source.interactions.files, source.items.files
    if source.kind == "movielens":
        ending = "dat" if (folder / "ratings.dat").is_file() else "csv"
        return f"ratings.{ending}", f"movies.{ending}"
    return source.reviews, source.meta


def source_folder(folder: Path, root: Path) -> Path:
    """Return a source's folder with its variables filled in; a relative one is relative to the project's root.

    Raises:
        InputError: a variable without a default is not set.
    """
    expanded = Path(expand_variables(str(folder), where="raw_data.source.folder")).expanduser()
    return (root / expanded).resolve()


def source_files(folder: Path, names: FileNames) -> tuple[Path, ...]:
    """Return the files that a name, a pattern or a list of them stands for, each once.

    Names come in the order of the recipe, what one pattern matches in the order of the names: the order decides which
    of two interactions at the same time came first.

    Raises:
        InputError: a named file is not there, or a pattern matches none.
    """
    found: dict[Path, None] = {}
    for name in (names,) if isinstance(names, str) else names:
        found.update(dict.fromkeys(_matches(folder, name)))
    return tuple(found)


def _matches(folder: Path, name: str) -> list[Path]:
    if not any(character in name for character in _PATTERN_CHARACTERS):
        path = folder / name
        if not path.is_file():
            raise missing_file(path)
        return [path]
    matches = sorted(path for path in folder.glob(name) if path.is_file())
    if not matches:
        raise missing_file(folder / name)
    return matches


def missing_file(path: Path) -> InputError:
    """Return the InputError for a file that is not there, with what the folder holds."""
    folder = path.parent
    names = sorted(file.name for file in folder.iterdir()) if folder.is_dir() else []
    there = ", ".join(names[:_SHOWN_NAMES]) + (", ..." if len(names) > _SHOWN_NAMES else "")
    found = f"no such file; the folder holds {there or 'nothing'}" if folder.is_dir() else "no such folder"
    step = "Correct raw_data.source in the recipe, or set RECOPS_DATA to the folder that holds the data sets."
    return InputError(path, found=found, expected="a file of the source", next_step=step)
