"""Command line of one stage, as DVC calls it: `python -m recops.stages NAME --recipe RECIPE`."""

import argparse
import sys

from recops import environment, interrupt
from recops.config.recipe import load_recipe
from recops.errors import InputError
from recops.paths import Layout, project_root
from recops.runner import run_stage
from recops.stage import STAGE_NAMES

EXIT_BAD_INPUT = 2
EXIT_INTERRUPTED = 130


def main() -> int:
    """Run one stage; return the exit code."""
    parser = argparse.ArgumentParser(prog="python -m recops.stages", description=__doc__)
    parser.add_argument("name", choices=STAGE_NAMES)
    parser.add_argument("--recipe", required=True, help="name of a file in recipes/, without its ending")
    parser.add_argument("--force", action="store_true", help="ignore the checkpoints of an interrupted execution")
    arguments = parser.parse_args()
    environment.prepare()
    interrupt.install()
    try:
        layout = Layout(project_root(), arguments.recipe)
        recipe = load_recipe(layout.recipe_file)
        result = run_stage(arguments.name, recipe=recipe, layout=layout, force=arguments.force)
    except InputError as error:
        print(f"error: {error}", file=sys.stderr)
        return EXIT_BAD_INPUT
    except interrupt.Interrupted as stop:
        print(f"interrupted: {stop}", file=sys.stderr)
        return EXIT_INTERRUPTED
    print(f"{arguments.name}: wrote {result.artefact}")
    return 0


if __name__ == "__main__":
    sys.exit(main())
