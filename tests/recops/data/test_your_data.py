"""The page for one's own data (docs/your_data.md): its settings are taken, its example runs, its refusals happen."""

import re
from pathlib import Path
from typing import Any

import polars as pl
import pytest
import yaml
from pydantic import BaseModel, ValidationError

from recops.config.raw_data import RawDataConfig
from recops.config.recipe import load_recipe
from recops.config.validated_splits import ValidatedSplitsConfig
from recops.data.sources import run_raw_data
from recops.errors import InputError
from tests.pipeline.project import CHECKOUT
from tests.recops.data.small_source import splits_config, stage_io

PAGE = (CHECKOUT / "docs" / "your_data.md").read_text(encoding="utf-8")
SPLITS_PAGE = (CHECKOUT / "docs" / "splits.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    found: list[str] = re.findall(rf"^```{language}\n(.*?)^```", PAGE, flags=re.DOTALL | re.MULTILINE)
    return found


def settings() -> list[dict[str, Any]]:
    """Return each block of YAML as the section `raw_data` that it is, or is the source of."""
    read = [yaml.safe_load(block) for block in blocks("yaml")]
    return [one.get("raw_data", one) for one in read]


def own_files(**interactions: Any) -> dict[str, Any]:
    """Return the page's settings of one's own files, some of them changed."""
    source = next(one["source"] for one in settings() if one["source"]["kind"] == "files")
    return {"source": {**source, "interactions": {**source["interactions"], **interactions}}}


def test_every_kind_of_source_with_settings_on_the_page_is_taken_by_the_recipes_model() -> None:
    kinds = [RawDataConfig.model_validate(one).source.kind for one in settings()]
    assert kinds == ["files", "movielens", "amazon_reviews_2023"]


def test_the_recipe_that_the_page_says_to_copy_takes_the_settings_of_the_page(tmp_path: Path) -> None:
    content = yaml.safe_load((CHECKOUT / "recipes" / "own_files.yaml").read_text(encoding="utf-8"))
    recipe = tmp_path / "my_shop.yaml"
    recipe.write_text(yaml.safe_dump({**content, "name": "my_shop", "raw_data": own_files()}), encoding="utf-8")
    assert load_recipe(recipe).raw_data == RawDataConfig.model_validate(own_files())


def test_the_files_of_the_page_are_read_with_the_settings_of_the_page(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RECOPS_DATA", str(tmp_path))
    (tmp_path / "own_files").mkdir()
    for name, content in zip(("events.csv", "products.csv"), blocks("csv"), strict=True):
        (tmp_path / "own_files" / name).write_text(content, encoding="utf-8")
    io = stage_io("raw_data", tmp_path)
    report = run_raw_data(io, RawDataConfig.model_validate(own_files()), seed=7)
    assert (report.left_out, report.first_time) == ({"view": 1}, "2024-05-31T12:00:00.000+00:00")
    interactions, items = (pl.read_parquet(io.out / f"{name}.parquet") for name in ("interactions", "items"))
    assert interactions.select("user_id", "item_id", "rating").rows() == [("ann", "B01", 5.0)]
    assert items.select("item_id", "title", "category").rows() == [
        ("B01", "Desk lamp", "Lamps"),
        ("B07", "Rug, 2 x 3 m", "Carpets"),
    ]
    assert items["price"].round(2).to_list() == pytest.approx([24.9, 119.0])
    misspelt = RawDataConfig.model_validate(own_files(events=["purchase", "cart"]))
    with pytest.raises(InputError, match="events: found no row with cart"):
        run_raw_data(stage_io("raw_data", tmp_path), misspelt, seed=7)


def test_the_weights_that_the_page_shows_are_taken() -> None:
    shown = [yaml.safe_load(f"{{{one}}}") for one in re.findall(r"`(events: \{[^`]+\})`", PAGE)]
    assert shown == [{"events": {"purchase": 1, "cart": 0.2, "view": 0.05}}]
    RawDataConfig.model_validate(own_files(**shown[0]))


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"rating_range": None}, "rating and rating_range belong together"),
        ({"events": None}, "event and events belong together"),
        ({"events": {"purchase": 0}}, "greater than 0"),
        ({"events": {"purchase": 1001}}, "less than or equal to 1000"),
        ({"time_unit": "minutes"}, "'s', 'ms', 'us', 'ns' or 'iso'"),
    ],
)
def test_what_the_page_rules_out_is_refused(change: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        RawDataConfig.model_validate(own_files(**change))


def section(config: BaseModel, name: str) -> Any:
    return config.model_dump(mode="json")[name]


def test_the_settings_on_the_page_of_splits_are_taken() -> None:
    shown = [yaml.safe_load(one) for one in re.findall(r"`((?:split|candidates): \{[^`]+\})`", SPLITS_PAGE)]
    assert [next(iter(one)) for one in shown] == ["split", "split", "candidates"]
    for one in shown:
        [(name, content)] = one.items()
        config: ValidatedSplitsConfig = splits_config(**one)
        assert section(config, name) == content
