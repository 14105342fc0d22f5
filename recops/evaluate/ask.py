"""Asks one tool one question about a user's newest moment: for whoever writes a tool, or wonders what one says."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from recops.artifacts import verify
from recops.config.recipe import Recipe
from recops.errors import InputError
from recops.evaluate.moments import newest_moment
from recops.paths import Layout
from recops.records import Task, label
from recops.retrieval.evidence import Evidence
from recops.tools.errors import ToolError
from recops.tools.toolbox import Toolbox


@dataclass(frozen=True, slots=True)
class Asked:
    """A tool's answer, and the candidates that its letters stand for, one line each, with the title for a person."""

    candidates: tuple[str, ...]
    answer: str


def ask(layout: Layout, recipe: Recipe, user_id: str, *, tool: str, arguments: Mapping[str, Any]) -> Asked:
    """Return what a tool answers about a user, exactly as a model would read it.

    Args:
        layout: where the recipe's artefacts lie.
        recipe: its settings.
        user_id: as in the source.
        tool: a name as a recipe may have it, whether this recipe has it or not.
        arguments: what the model would write.

    Raises:
        InputError: the user, the tool or an artefact is missing or damaged, or an argument is wrong.
    """
    folders = [layout.artefact(stage) for stage in ("validated_splits", "sasrec_embeddings")]
    agent = recipe.agent.model_copy(update={"tools": (tool,)})
    for folder in folders:
        verify(folder)
    toolbox = Toolbox(Evidence.load(folders[0], folders[1], agent, recipe.seed), agent)
    sample = newest_moment(toolbox.store, user_id, recipe)
    task = Task(sample, sample.candidates, "rank")
    [name] = toolbox.functions
    try:
        answer = toolbox.call(task, name, arguments)
    except ToolError as error:
        step = "Write the arguments as JSON: --arguments '{\"name\": value}'."
        raise InputError(
            name, found=f"a wrong call ({error})", expected="what the tool takes", next_step=step
        ) from error
    context = toolbox.context(task)
    titled = [f"{context.field(item, 'title')} | {context.line(item)}" for item in sample.candidates]
    lines = [f"{label(place)} | {line}" for place, line in enumerate(titled)]
    return Asked(tuple(lines), answer)
