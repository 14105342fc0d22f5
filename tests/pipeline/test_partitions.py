"""Which recipes a code location offers when it is loaded, each time in a process of its own, as Dagster reloads it."""

import json
import os
import subprocess
import sys
from pathlib import Path

from recops.versioning import CODE_ROOT

LOAD = """
import json
from jobs.definitions import defs
job = defs.get_repository_def().get_job("full_pipeline")
print(json.dumps(sorted(job.partitions_def.get_partition_keys())))
"""


def offered(root: Path) -> list[str]:
    """Partitions of the job that makes everything, after the definitions were loaded anew for a project."""
    env = {**os.environ, "RECOPS_ROOT": str(root), "PYTHONPATH": str(CODE_ROOT)}
    loaded = subprocess.run(
        [sys.executable, "-c", LOAD], cwd=root, env=env, check=True, stdout=subprocess.PIPE, encoding="utf-8"
    )
    return list(json.loads(loaded.stdout.splitlines()[-1]))


def test_a_new_recipe_is_a_partition_after_a_reload_and_a_wrong_one_takes_no_other_down(tmp_path: Path) -> None:
    recipes = tmp_path / "recipes"
    recipes.mkdir()
    (recipes / "first.yaml").write_text("name: first\n", encoding="utf-8")
    assert offered(tmp_path) == ["first"]
    (recipes / "second.yaml").write_text("name: second\n", encoding="utf-8")
    (recipes / "wrong.yaml").write_text("name: [wrong\n\t- :", encoding="utf-8")
    assert offered(tmp_path) == ["first", "second", "wrong"]
