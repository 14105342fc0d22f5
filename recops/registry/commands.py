"""The commands of `recops` that concern registered models."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console
from rich.table import Table

from recops.config.recipe import load_recipe
from recops.paths import Layout, project_root

if TYPE_CHECKING:
    # For the checker alone: the module loads torch, and a command's help needs none.
    from recops.registry.promote import Decision

EXIT_REFUSED = 3
"""Not 1, with which Python ends after a traceback."""

RecipeArgument = Annotated[str, typer.Argument(help="A file of recipes/, without its ending.")]

_TABLE_WIDTH = 120
"""A log has 80 columns by default, which would fold every row."""


def register(recipe: RecipeArgument = "embedded") -> None:
    """Register a recipe's final policy in MLflow, and make it the challenger."""
    from recops.registry.register import register as register_model

    layout = Layout(project_root(), recipe)
    made = register_model(layout, load_recipe(layout.recipe_file))
    told = "registered now" if made.is_new else "registered before"
    tags = made.version.tags
    console = Console()
    console.print(f"{recipe} version {made.version.number} ({told}) is the challenger", highlight=False)
    console.print(
        f"NDCG@10 {tags['ndcg_at_10']} in its own evaluation; of {tags['latency_num_requests']} requests half took "
        f"less than {tags['latency_p50_seconds']} s, 95 % less than {tags['latency_p95_seconds']} s",
        highlight=False,
        soft_wrap=True,
    )


def promote(recipe: RecipeArgument = "embedded") -> None:
    """Make the challenger the champion if it is as good and keeps the limits; exit code 3 where it is refused."""
    from recops.registry.promote import promote as decide

    layout = Layout(project_root(), recipe)
    decision = decide(layout, load_recipe(layout.recipe_file))
    console = Console()
    console.width = max(console.width, _TABLE_WIDTH)
    console.print(_table(decision))
    console.print(f"{sentence(decision)}. MLflow run {decision.run_id}", highlight=False, soft_wrap=True)
    if decision.outcome == "refused":
        raise typer.Exit(EXIT_REFUSED)


def rollback(recipe: RecipeArgument = "embedded") -> None:
    """Give the champion's place back to the version that held it before."""
    from recops.registry.roll_back import roll_back

    done = roll_back(Layout(project_root(), recipe))
    Console().print(
        f"{recipe} version {done.champion} is the champion again; version {done.removed} no longer is. "
        f"MLflow run {done.run_id}",
        highlight=False,
        soft_wrap=True,
    )


def sentence(decision: "Decision") -> str:
    """Return what was decided, in words."""
    name = f"{decision.recipe} version {decision.challenger}"
    if decision.outcome == "unchanged":
        return f"{name} is the champion already"
    if decision.outcome == "promoted":
        before = "nobody" if decision.champion is None else f"version {decision.champion}"
        return f"{name} is the champion now; before it was {before}"
    stays = "there is no champion" if decision.champion is None else f"version {decision.champion} stays the champion"
    return f"{name} is refused; {stays}"


def _table(decision: "Decision") -> Table:
    champion = "no champion" if decision.champion is None else f"champion version {decision.champion}"
    table = Table(title=f"{decision.recipe}: challenger version {decision.challenger}, {champion}")
    for column in ("condition", "found", "allowed", "holds"):
        table.add_column(column)
    for one in decision.conditions:
        verdict = "[green]yes[/green]" if one.holds else "[red]no[/red]"
        table.add_row(one.name, one.found.replace("[", "\\["), one.allowed, verdict)
    return table
