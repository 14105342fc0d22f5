"""What a child reports arrives whole, however long it is and however it is cut on its way."""

import threading
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from dagster import (
    AssetKey,
    AssetsDefinition,
    DagsterInstance,
    OpExecutionContext,
    PipesSubprocessClient,
    job,
    materialize,
    op,
)

import assets.stage
from assets.children import run_child
from assets.messages import WholeLineReader, whole_lines
from jobs.definitions import PIPES, defs

LONG = 3_000_000


def test_a_line_that_is_written_in_pieces_is_read_whole(tmp_path: Path) -> None:
    path, complete = tmp_path / "messages.jsonl", threading.Event()
    path.touch()
    read: list[str] = []
    reader = threading.Thread(target=lambda: read.extend(whole_lines(path, complete)))
    reader.start()
    with path.open("a", encoding="utf-8") as file:
        for piece in ('{"one": ', "1}\n{", '"two": 2}\n'):
            file.write(piece)
            file.flush()
            time.sleep(0.5)
    complete.set()
    reader.join(timeout=30)
    assert read == ['{"one": 1}\n', '{"two": 2}\n']


def test_what_was_written_last_is_read_although_the_child_has_ended(tmp_path: Path) -> None:
    path, complete = tmp_path / "messages.jsonl", threading.Event()
    path.write_text("first\nlast\nhalf a li", encoding="utf-8")
    complete.set()
    assert list(whole_lines(path, complete)) == ["first\n", "last\n"]


@op
def talking(context: OpExecutionContext, pipes: PipesSubprocessClient) -> int:
    extras: Mapping[str, Any] = {"end": "well", "say": LONG}
    [message] = run_child(
        context, pipes, "tests.pipeline.failing_child", what="it", extras=extras
    ).get_custom_messages()
    return len(message["text"])


@job(resource_defs={"pipes": PipesSubprocessClient(message_reader=WholeLineReader())})
def talk() -> None:
    talking()


def test_a_report_of_megabytes_arrives() -> None:
    assert talk.execute_in_process().output_for_node("talking") == LONG


def test_the_code_location_reads_so() -> None:
    assert isinstance(PIPES.message_reader, WholeLineReader)
    assert defs.resources == {"pipes": PIPES}


@pytest.mark.parametrize("name", ["raw_data", "evaluation_reports"])
def test_an_asset_is_not_materialized_by_a_child_that_reported_nothing(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:

    def silent(context: Any, pipes: PipesSubprocessClient, *_: Any, what: str, extras: Mapping[str, Any]) -> Any:
        return run_child(context, pipes, "tests.pipeline.failing_child", what=what, extras={**extras, "end": "well"})

    monkeypatch.setattr(assets.stage, "run_child", silent)
    made = [one for one in defs.assets or () if isinstance(one, AssetsDefinition)]
    [definition] = [one for one in made if AssetKey(name) in one.keys]
    with DagsterInstance.ephemeral() as instance:
        result = materialize([definition], instance=instance, partition_key="embedded", raise_on_error=False,
                             resources={"pipes": PipesSubprocessClient(message_reader=WholeLineReader())})  # fmt: skip
        assert not result.success
        assert instance.get_latest_materialization_event(AssetKey(name)) is None
