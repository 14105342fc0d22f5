"""One partition per recipe: the files of recipes/ are read by name only."""

from dagster import StaticPartitionsDefinition

from recops.paths import project_root

RECIPES = StaticPartitionsDefinition(sorted(path.stem for path in (project_root() / "recipes").glob("*.yaml")))
