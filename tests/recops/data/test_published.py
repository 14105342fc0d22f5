import gzip
import json
from pathlib import Path

import pytest
from typer.testing import CliRunner

from recops.cli import app
from recops.config.raw_data import RawDataConfig
from recops.data.published import PUBLISHED_AT, published_urls
from recops.data.sources import run_raw_data
from recops.errors import InputError
from tests.recops.data.range_server import Shelf, serving
from tests.recops.data.small_source import meta, review, stage_io


def packed(line: dict[str, object]) -> bytes:
    return gzip.compress((json.dumps(line) + "\n").encode(), mtime=0)


def test_a_fetched_category_is_what_the_source_reads(tmp_path: Path) -> None:
    files = {"/raw/review_categories/Toys.jsonl.gz": packed(review())}
    files["/raw/meta_categories/meta_Toys.jsonl.gz"] = packed(meta())
    folder = tmp_path / "sets"
    with serving(Shelf(files)) as shelf:
        options = ["--category", "Toys", "--folder", str(folder), "--base-url", f"{shelf.url}/raw/"]
        result = CliRunner().invoke(app, ["fetch", "amazon-reviews-2023", *options])
    assert result.exit_code == 0, result.output
    assert "reviews: Toys.jsonl.gz, meta: meta_Toys.jsonl.gz" in result.output
    source = {"kind": "amazon_reviews_2023", "folder": folder, "reviews": "Toys.jsonl.gz", "meta": "meta_Toys.jsonl.gz"}
    report = run_raw_data(stage_io("raw_data", tmp_path), RawDataConfig.model_validate({"source": source}), seed=1)
    assert report.num_interactions == report.num_items == 1


def test_the_published_addresses() -> None:
    assert published_urls("Musical_Instruments", PUBLISHED_AT) == {
        "reviews": f"{PUBLISHED_AT}/review_categories/Musical_Instruments.jsonl.gz",
        "meta": f"{PUBLISHED_AT}/meta_categories/meta_Musical_Instruments.jsonl.gz",
    }


@pytest.mark.parametrize(("category", "base"), [("../x", PUBLISHED_AT), ("Toys", "file:///etc"), ("", PUBLISHED_AT)])
def test_what_is_no_category_or_web_address_is_refused(category: str, base: str) -> None:
    with pytest.raises(InputError, match=r"--category|--base-url"):
        published_urls(category, base)
