"""The only door to git and DVC, and the answer to "which code made this": a stage's modules, derived from imports."""

import subprocess
from functools import cache
from pathlib import Path

import grimp

from recops.artifacts import content_sha256, file_sha256
from recops.stage import STAGES, StageName

PACKAGE = "recops"


def code_files(stage: StageName) -> tuple[str, ...]:
    """Return the files, relative to the root, of every module that the stage's function imports, itself included."""
    module = STAGES[stage].function.partition(":")[0]
    graph = _import_graph()
    modules = {module, *graph.find_upstream_modules(module)}
    return tuple(sorted(_file(name) for name in modules))


def code_sha256(root: Path, stage: StageName) -> str:
    """Return one hash over the content of a stage's code files."""
    return content_sha256({name: file_sha256(root / name) for name in code_files(stage)})


def git_commit(root: Path) -> str:
    """Return the commit of the checkout, with `-dirty` when tracked files differ from it, or `unversioned`."""
    command = ["git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*"]
    result = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
    return result.stdout.strip() if result.returncode == 0 else "unversioned"


@cache
def _import_graph() -> grimp.ImportGraph:
    return grimp.build_graph(PACKAGE, cache_dir=None, exclude_type_checking_imports=True)


def _file(module: str) -> str:
    path = module.replace(".", "/")
    package = Path(__file__).parent.parent / path / "__init__.py"
    return f"{path}/__init__.py" if package.is_file() else f"{path}.py"
