"""The `recops` command."""

import os
import signal
import subprocess
import sys
from pathlib import Path
from types import FrameType
from typing import Annotated

import typer
from rich.console import Console

from recops import environment, interrupt
from recops.config.recipe import load_recipe
from recops.data.download import download
from recops.data.published import DEFAULT_FOLDER, PUBLISHED_AT, published_urls
from recops.data.source_files import source_folder
from recops.doctor import find_problems
from recops.dvc_file import record_recipe, write_dvc_file
from recops.errors import InputError
from recops.paths import Layout, project_root
from recops.readme import write_readme_parts
from recops.runner import run_stage
from recops.stage import StageName
from recops.stages import EXIT_BAD_INPUT, EXIT_INTERRUPTED
from recops.summary import markdown_table, print_baselines, print_recommendation, print_results, read_results
from recops.versioning import dvc_executable

app = typer.Typer(
    name="recops",
    help="An MLOps pipeline for agentic recommendation: train tool-using ranking agents, and measure them.",
    no_args_is_help=True,
    pretty_exceptions_show_locals=False,
)
fetch_app = typer.Typer(no_args_is_help=True, help="Download published data sets.")
app.add_typer(fetch_app, name="fetch")
console = Console()

RecipeOption = Annotated[str, typer.Option("--recipe", "-r", help="A file of recipes/, without its ending.")]


@app.command()
def run(
    recipe: RecipeOption = "embedded",
    first: Annotated[StageName | None, typer.Option("--from", help="Only this stage and what follows from it.")] = None,
) -> None:
    """Materialize every asset of a recipe through Dagster, then print the table of results."""
    root = project_root()
    load_recipe(Layout(root, recipe).recipe_file)
    dvc_executable()  # before hours of training, not after
    if record_recipe(root, recipe):
        console.print(f"params.yaml and dvc.yaml now hold the recipe {recipe}: commit both.", highlight=False)
    code = _launch(["full_pipeline", recipe, *(["--from", first] if first else [])])
    if code:
        verb = "was stopped" if code == EXIT_INTERRUPTED else "failed"
        again = f"recops run --recipe {recipe} --from STAGE"
        console.print(f"The run {verb}. Go on where it ended: {again}", highlight=False, soft_wrap=True)
        raise typer.Exit(code)
    print_results(console, root, recipe)


@app.command()
def stage(
    name: StageName,
    recipe: RecipeOption = "embedded",
    force: Annotated[bool, typer.Option("--force", help="Ignore checkpoints of an interrupted execution.")] = False,
) -> None:
    """Run one stage here and now: no Dagster, and nothing recorded in DVC (`dvc commit` does that)."""
    interrupt.install()
    root = project_root()
    result = run_stage(name, recipe=load_recipe(Layout(root, recipe).recipe_file), root=root, force=force)
    console.print_json(data=result.report)
    console.print(f"wrote {result.artefact}", highlight=False, soft_wrap=True)


@app.command()
def results(
    recipe: RecipeOption = "embedded",
    markdown: Annotated[bool, typer.Option("--markdown", help="For a page: Markdown, best system first.")] = False,
) -> None:
    """Print the table of results of a recipe that was run."""
    if markdown:
        print(markdown_table(read_results(project_root(), recipe)))
    else:
        print_results(console, project_root(), recipe)


@app.command()
def baselines(recipe: RecipeOption = "embedded") -> None:
    """Print what the stage baselines measured on the test samples, as Markdown tables."""
    print_baselines(console, project_root(), recipe)


@app.command()
def recommend(
    user: Annotated[str, typer.Option("--user", "-u", help="A user id of the recipe's data.")],
    recipe: RecipeOption = "embedded",
    policy: Annotated[StageName, typer.Option(help="The stage whose policy answers.")] = "ppr_model",
) -> None:
    """Ask a trained policy for a ranked list for one user, and see how it came to it."""
    from recops.evaluate import recommend as module  # torch and transformers: some seconds that `--help` need not take

    layout = Layout(project_root(), recipe)
    print_recommendation(console, module.recommend(layout, load_recipe(layout.recipe_file), user, policy))


@fetch_app.command("amazon-reviews-2023")
def fetch_amazon_reviews_2023(
    category: Annotated[str, typer.Option("--category", help="As published, for example Musical_Instruments.")],
    folder: Annotated[Path, typer.Option(help="Where the files are to lie.")] = Path(DEFAULT_FOLDER),
    base_url: Annotated[str, typer.Option(help="The address above review_categories/.")] = PUBLISHED_AT,
    reviews_sha256: Annotated[str | None, typer.Option(help="What the review file must have.")] = None,
    meta_sha256: Annotated[str | None, typer.Option(help="What the meta file must have.")] = None,
) -> None:
    """Download reviews and meta of a category of Amazon Reviews 2023; an interrupted download goes on."""
    target = source_folder(folder, project_root())
    expected = {"reviews": reviews_sha256, "meta": meta_sha256}
    names = {}
    for part, url in published_urls(category, base_url).items():
        fetched = download(url, target / url.rpartition("/")[2], sha256=expected[part])
        names[part] = fetched.path.name
        verb = "is there already" if fetched.was_there else "fetched"
        console.print(
            f"{fetched.path} {verb}: {fetched.num_bytes:,} bytes, SHA-256 {fetched.sha256}",
            highlight=False,
            soft_wrap=True,
            markup=False,
        )
    source = f"{{kind: amazon_reviews_2023, folder: {target}, reviews: {names['reviews']}, meta: {names['meta']}}}"
    console.print(f"In a recipe: raw_data: {{source: {source}}}", highlight=False, soft_wrap=True, markup=False)


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
