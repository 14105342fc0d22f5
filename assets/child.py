"""The child process of one asset: runs the stage, records it in DVC, and reports to Dagster through Pipes."""

import ctypes
import os
import signal
import sys
import traceback
from pathlib import Path

from dagster_pipes import PipesContext, open_dagster_pipes

from assets.facts import stage_metadata
from recops import environment, interrupt
from recops.config.recipe import load_recipe
from recops.dvc_file import record_recipe
from recops.errors import InputError
from recops.paths import Layout, project_root
from recops.runner import check_unchanged, run_stage
from recops.stage import StageName
from recops.stages import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from recops.tracking import log_version, run_url
from recops.versioning import commit_stage, output_hash

_PR_SET_PDEATHSIG = 1
EXIT_FAILED = 1


def main() -> int:
    """Run the stage that the Pipes context names; return the exit code."""
    die_with_parent()
    interrupt.install()
    environment.prepare()
    with open_dagster_pipes() as pipes:
        failure = Path(str(pipes.get_extra("failure")))
        try:
            _run(pipes, pipes.get_extra("stage"), str(pipes.get_extra("recipe")))
        except InputError as error:
            failure.write_text(str(error), encoding="utf-8")
            return EXIT_BAD_INPUT
        except interrupt.Interrupted as stop:
            failure.write_text(f"interrupted: {stop}", encoding="utf-8")
            return EXIT_INTERRUPTED
        except Exception as error:  # the boundary of the process: Dagster shows the words, the log keeps the traceback
            traceback.print_exc()
            failure.write_text(f"{type(error).__name__}: {error}", encoding="utf-8")
            return EXIT_FAILED
    return 0


def _run(pipes: PipesContext, stage: StageName, recipe_name: str) -> None:
    root = project_root()
    layout = Layout(root, recipe_name)
    recipe = load_recipe(layout.recipe_file)
    record_recipe(root, recipe_name)
    result = run_stage(stage, recipe=recipe, layout=layout, tags={"dagster_run_id": pipes.run_id})
    check_unchanged(stage, recipe, layout)
    entry = commit_stage(root, stage, recipe_name)
    log_version(root, result.run_id, entry)
    metadata = stage_metadata(stage, result, url=run_url(root, result.run_id))
    pipes.report_asset_materialization(metadata=metadata, data_version=output_hash(entry))


def die_with_parent() -> None:
    """Ask the kernel for SIGTERM when the parent dies, so that `kill -9` of a step leaves no training behind.

    Linux only; elsewhere the lock of the stage's folder keeps a second execution away from the first.
    """
    if sys.platform != "linux":
        return
    parent = os.getppid()
    if ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGTERM) != 0:
        raise OSError(ctypes.get_errno(), "prctl(PR_SET_PDEATHSIG) failed")
    if os.getppid() != parent:
        os.kill(os.getpid(), signal.SIGTERM)


if __name__ == "__main__":
    sys.exit(main())
