"""The `recops` command."""

import json
import os
import signal
import subprocess
import sys
from types import FrameType
from typing import Annotated, Any, Literal

import typer
from rich.console import Console

from recops import environment, fetch, interrupt
from recops.compare.commands import compare
from recops.config.overrides import parse_overrides
from recops.config.recipe import load_recipe
from recops.doctor import find_problems
from recops.dvc_file import record_recipe, write_dvc_file
from recops.errors import InputError
from recops.paths import Layout, project_root
from recops.readme import write_readme_parts
from recops.rebuild.commands import rebuild
from recops.registry import commands as registry_commands
from recops.runner import run_stage
from recops.stage import StageName
from recops.stages import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from recops.studies import commands as study
from recops.summary import (
    TABLE_WIDTH,
    markdown_table,
    print_baselines,
    print_recommendation,
    print_results,
    read_results,
    results_table,
)
from recops.trials import run_trial
from recops.versioning import dvc_executable

app = typer.Typer(
    name="recops",
    help="An MLOps pipeline for agentic recommendation: train tool-using ranking agents, and measure them.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
app.command()(compare)
app.command()(rebuild)
app.add_typer(fetch.app, name="fetch")
app.add_typer(study.app, name="study")
console = Console()

for command in (registry_commands.register, registry_commands.promote, registry_commands.rollback):
    app.command()(command)

MeasuredSlice = Literal["valid", "test"]
JobName = Literal["full_pipeline", "refresh_data", "train_agent", "evaluate"]
PolicyOption = Annotated[StageName, typer.Option(help="The stage whose policy answers.")]
RecipeOption = Annotated[str, typer.Option("--recipe", "-r", help="A file of recipes/, without its ending.")]


@app.command()
def run(
    recipe: RecipeOption = "embedded",
    first: Annotated[StageName | None, typer.Option("--from", help="Only this stage and what follows from it.")] = None,
    job: Annotated[JobName, typer.Option(help="The data, the agent or the evaluation alone.")] = "full_pipeline",
) -> None:
    """Materialize every asset of a recipe, or those of a job, through Dagster; then print the table of results."""
    root = project_root()
    load_recipe(Layout(root, recipe).recipe_file)
    dvc_executable()  # before hours of training, not after
    if record_recipe(root, recipe):
        console.print(f"params.yaml and dvc.yaml now hold the recipe {recipe}: commit both.", highlight=False)
    code = _launch([job, recipe, *(["--from", first] if first else [])])
    if code:
        verb = "was stopped" if code == EXIT_INTERRUPTED else "failed"
        again = f"recops run --recipe {recipe} {'' if job == 'full_pipeline' else f'--job {job} '}--from STAGE"
        console.print(f"The run {verb}. Go on where it ended: {again}", highlight=False, soft_wrap=True)
        raise typer.Exit(code)
    if job in ("full_pipeline", "evaluate"):
        print_results(console, root, recipe)


@app.command()
def stage(
    name: StageName,
    recipe: RecipeOption = "embedded",
    force: Annotated[bool, typer.Option("--force", help="Ignore checkpoints of an interrupted execution.")] = False,
) -> None:
    """Run one stage here and now: no Dagster, and nothing recorded in DVC (`dvc commit` does that)."""
    interrupt.install()
    layout = Layout(project_root(), recipe)
    result = run_stage(name, recipe=load_recipe(layout.recipe_file), layout=layout, force=force)
    console.print_json(data=result.report)
    console.print(f"wrote {result.artefact}", highlight=False, soft_wrap=True)


@app.command("try")
def try_(
    changes: Annotated[list[str], typer.Option("--set", "-s", help="KEY=VALUE, for example grpo_model.steps=30.")],
    recipe: RecipeOption = "embedded",
    through: Annotated[StageName, typer.Option(help="The last stage to run.")] = "evaluation_reports",
) -> None:
    """Run a recipe with other values as a trial: below runs/, beside the recipe's artefacts, not recorded in DVC."""
    interrupt.install()
    for made in run_trial(project_root(), recipe, parse_overrides(changes), through=through, tags={}):
        told = {"run": "made now", "earlier": "made by an earlier trial", "recipe": "the recipe's own"}[made.origin]
        console.print(f"{made.name:20}{told:26}{made.artefact}", highlight=False, soft_wrap=True, markup=False)
    if made.name == "evaluation_reports":
        console.width = max(console.width, TABLE_WIDTH)
        console.print(results_table(read_results(made.artefact)))


@app.command()
def results(
    recipe: RecipeOption = "embedded",
    markdown: Annotated[bool, typer.Option("--markdown", help="For a page: Markdown, best system first.")] = False,
) -> None:
    """Print the table of results of a recipe that was run."""
    if markdown:
        print(markdown_table(read_results(Layout(project_root(), recipe).artefact("evaluation_reports"))))
    else:
        print_results(console, project_root(), recipe)


@app.command()
def baselines(recipe: RecipeOption = "embedded") -> None:
    """Print what the stage baselines measured on the test samples, as Markdown tables."""
    print_baselines(console, project_root(), recipe)


@app.command()
def recommend(
    user: Annotated[str | None, typer.Option("--user", "-u", help="A user id of the recipe's data.")] = None,
    recipe: RecipeOption = "embedded",
    policy: PolicyOption = "ppr_model",
    request: Annotated[str, typer.Option(help="What the user asks for, in words.")] = "",
    catalogue: Annotated[bool, typer.Option("--catalogue", help="Retrieve from the whole catalogue.")] = False,
    complete: Annotated[str | None, typer.Option(help="An item id: what goes with it, for the user if given.")] = None,
) -> None:
    """Ask a trained policy for a ranked list, and see how it came to it."""
    from recops.evaluate import recommend as module  # torch and transformers: some seconds that `--help` need not take

    layout = Layout(project_root(), recipe)
    asked = module.Asked(user, request=request, catalogue=catalogue, complete=complete)
    print_recommendation(console, module.recommend(layout, load_recipe(layout.recipe_file), asked, policy))


@app.command()
def use_scores(
    recipe: RecipeOption = "embedded",
    policy: PolicyOption = "ppr_model",
    slice_name: Annotated[MeasuredSlice, typer.Option("--slice", help="Choices are made on valid.")] = "valid",
    max_samples: Annotated[int, typer.Option(min=1, help="At most so many samples, and so many complements.")] = 300,
) -> None:
    """Measure recommending from the whole catalogue, requests and complements; write runs/use/RECIPE/*.json."""
    from recops.evaluate import use_scores as module

    layout = Layout(project_root(), recipe)
    scores = module.measure_use(
        layout, load_recipe(layout.recipe_file), policy, slice_name=slice_name, max_samples=max_samples
    )
    print(module.use_table(scores))
    console.print(f"wrote {module.write_use_scores(layout, scores)}", highlight=False, soft_wrap=True)


@app.command()
def tool(
    name: Annotated[str, typer.Argument(help="A tool of ours, or one of your own as a recipe would name it.")],
    user: Annotated[str, typer.Option("--user", "-u", help="A user id of the recipe's data.")],
    recipe: RecipeOption = "embedded",
    arguments: Annotated[str, typer.Option(help="What the model would write, as JSON.")] = "{}",
) -> None:
    """Ask one tool about a user's newest moment, and see what a model would read."""
    from recops.evaluate.ask import ask

    layout = Layout(project_root(), recipe)
    asked = ask(layout, load_recipe(layout.recipe_file), user, tool=name, arguments=json_object(arguments))
    console.print("\n".join(asked.candidates), style="dim", markup=False, highlight=False, soft_wrap=True)
    print(f"\n{asked.answer}")


@app.command()
def doctor(recipe: RecipeOption = "embedded") -> None:
    """Look for what would stop or spoil a run, and say how to mend it."""
    problems = find_problems(project_root(), recipe)
    for problem in problems:
        console.print(f"{problem.what}: {problem.found}", style="red", markup=False, highlight=False, soft_wrap=True)
        console.print(f"    {problem.fix}", markup=False, highlight=False, soft_wrap=True)
    if problems:
        raise typer.Exit(1)
    console.print("Everything is in order.", style="green")


@app.command()
def dvc_yaml() -> None:
    """Write dvc.yaml anew from the table of stages and params.yaml."""
    console.print(f"wrote {write_dvc_file(project_root())}", highlight=False, soft_wrap=True)


@app.command()
def readme() -> None:
    """Write the graph and the file tree in README.md anew."""
    console.print(f"wrote {write_readme_parts(project_root())}", highlight=False, soft_wrap=True)


def json_object(text: str) -> dict[str, Any]:
    """Return the JSON object that a text holds.

    Raises:
        InputError: it holds none.
    """
    try:
        value = json.loads(text)
    except json.JSONDecodeError as error:
        step = "Quote it for the shell: '{\"limit\": 3}'."
        raise InputError("arguments", found=f"{text} ({error})", expected="a JSON object", next_step=step) from error
    if not isinstance(value, dict):
        step = "Quote it for the shell: '{\"limit\": 3}'."
        raise InputError("arguments", found=text, expected="a JSON object", next_step=step)
    return value


def main() -> None:
    """Entry point: input that is wrong ends with its message and code 2, without a traceback."""
    environment.prepare()
    try:
        app()
    except InputError as error:
        Console(stderr=True).print(f"error: {error}", style="red", markup=False, highlight=False, soft_wrap=True)
        sys.exit(EXIT_BAD_INPUT)
    except interrupt.Interrupted as stop:
        Console(stderr=True).print(f"interrupted: {stop}", markup=False, highlight=False)
        sys.exit(EXIT_INTERRUPTED)


def _launch(arguments: list[str]) -> int:
    """Run `jobs.launch` and return its exit code, or `EXIT_INTERRUPTED` after a signal.

    It has a session of its own: a Ctrl-C at the terminal would reach the stage twice, directly and through Dagster,
    and a second signal tells a stage not to wait for its checkpoint.
    """
    command = [sys.executable, "-m", "jobs.launch", *arguments]
    process = subprocess.Popen(command, cwd=project_root(), start_new_session=True)
    signals: list[int] = []

    def forward(number: int, _frame: FrameType | None) -> None:
        signals.append(number)
        if len(signals) > 1:
            os.killpg(process.pid, signal.SIGKILL)
            return
        console.print("stopping: the running stage saves a checkpoint first; once more kills it", highlight=False)
        process.send_signal(signal.SIGINT)

    before = {number: signal.signal(number, forward) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        code = process.wait()
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
    return EXIT_INTERRUPTED if signals and code else code


if __name__ == "__main__":
    main()
