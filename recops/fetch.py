"""`recops fetch`: download published data sets, with resume and checksums."""

from pathlib import Path
from typing import Annotated

import typer
from rich.console import Console

from recops.data.download import download
from recops.data.published import DEFAULT_FOLDER, PUBLISHED_AT, published_urls
from recops.data.source_files import source_folder
from recops.paths import project_root

app = typer.Typer(no_args_is_help=True, help="Download published data sets.")
console = Console()


@app.command("amazon-reviews-2023")
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
