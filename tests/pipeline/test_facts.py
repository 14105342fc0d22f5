"""What an asset's page shows, from files written here."""

import json
from pathlib import Path
from typing import Any

import polars as pl

from assets.facts import stage_metadata
from recops.artifacts import write_json

TITLE = "A cable ~~~ with a fence"


def episode(thought: str) -> str:
    call = {"function": {"name": "rank_by_next_item", "arguments": {}}}
    messages: list[dict[str, Any]] = [
        {"role": "user", "content": TITLE},
        {"role": "assistant", "content": thought, "tool_calls": [call]},
        {"role": "tool", "name": "rank_by_next_item", "content": "Order: B A"},
        {"role": "assistant", "content": "Answer: B A"},
    ]
    return json.dumps(messages)


def test_expert_episodes_show_one_of_each_expert_to_be_read(tmp_path: Path) -> None:
    sources = ["scripted", "scripted", "self", "file"]
    rows = {"source": sources, "messages": [episode(f"{name} {number}") for number, name in enumerate(sources)]}
    pl.DataFrame(rows).write_parquet(tmp_path / "episodes.parquet")
    rejected = {"scripted": {"target_too_low": 3}, "self": {}, "file": {}}
    write_json(tmp_path / "rejected.json", rejected)
    write_json(tmp_path / "report.json", {"ndcg": {"scripted": 0.5}, "rejected": rejected})

    shown = stage_metadata("expert_episodes", tmp_path, url=None)

    examples = {name: value["raw_value"] for name, value in shown.items() if name.startswith("example_")}
    assert list(examples) == ["example_scripted", "example_self", "example_file"]
    assert "scripted 0" in examples["example_scripted"]
    for text in examples.values():
        assert text.startswith("~~~text\n")
        assert text.count("~~~") == 2, "a title cannot end the block"
        assert "rank_by_next_item" in text
        assert text.index("Order: B A") < text.index("Answer: B A")
    assert shown["dagster/row_count"]["raw_value"] == 4
    assert any("target_too_low" in str(value["raw_value"]) for value in shown.values())


def test_a_training_shows_each_of_its_numbers_at_the_first_and_the_last_step(tmp_path: Path) -> None:
    rows = [(2, "loss", 0.25), (1, "loss", 1.5), (3, "loss", 0.125), (2, "reward", -0.5)]
    pl.DataFrame(rows, schema=["step", "name", "value"], orient="row").write_parquet(tmp_path / "curve.parquet")
    write_json(tmp_path / "report.json", {"steps": 3})

    shown = stage_metadata("sft_checkpoint", tmp_path, url=None)["training"]

    assert shown["raw_value"].splitlines() == [
        "| name | first_step | first_value | last_step | last_value |",
        "| --- | --- | --- | --- | --- |",
        "| loss | 1 | 1.5 | 3 | 0.125 |",
        "| reward | 2 | -0.5 | 2 | -0.5 |",
    ]
