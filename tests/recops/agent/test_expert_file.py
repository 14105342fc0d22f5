import json
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recops.agent.expert_file import written_episodes
from recops.agent.experts import run_expert_episodes
from recops.agent.local_policy import LocalPolicy
from recops.agent.prompts import THOUGHTS
from recops.artifacts import file_sha256, read_json
from recops.errors import InputError
from recops.records import Sample
from recops.tools.toolbox import Toolbox
from tests.recops.agent.test_experts import CONFIG, stage
from tests.recops.agent.world import AGENT, changed


@pytest.fixture
def sample(toolbox: Toolbox) -> Sample:
    return toolbox.store.sample(int(toolbox.store.sample_ids("policy_train")[0]))


def line(sample: Sample, **values: Any) -> dict[str, Any]:
    best_first = [sample.target, *(item for item in sample.candidates if item != sample.target)]
    return {
        "user_id": f"u{sample.user}",
        "item_id": f"i{sample.target}",
        "calls": [
            {"tool": "rank_by_popularity", "arguments": {"window": "recent"}, "thought": "What do others take?"},
            {"tool": "rank_by_next_item", "arguments": {}},
        ],
        "thought": "The first fits the story.",
        "ranking": [f"i{item}" for item in best_first[:4]],
        **values,
    }


def write(path: Path, *lines: Any) -> Path:
    texts = [one if isinstance(one, str) else json.dumps(one) for one in lines]
    path.write_text("\n".join(texts) + "\n", encoding="utf-8")
    return path


def test_calls_are_played_and_thoughts_are_theirs(sample: Sample, toolbox: Toolbox, tmp_path: Path) -> None:
    [episode] = written_episodes(write(tmp_path / "people.jsonl", line(sample), ""), toolbox, AGENT, ())

    assert episode.answer.error is None
    assert episode.answer.ranking[0] == sample.target
    asked, answered, second, _, last = episode.messages
    assert asked["content"] == "What do others take?"
    assert answered["content"] == toolbox.call(episode.task, "rank_by_popularity", {"window": "recent"})
    assert second["content"] == THOUGHTS["rank_by_next_item"]
    assert last["content"].splitlines()[0] == "The first fits the story."


@pytest.mark.parametrize(
    ("values", "problem"),
    [
        ({"user_id": "nobody"}, "no user 'nobody' in the data"),
        ({"item_id": "gone"}, r"item 'gone' is not in the catalogue \(any more\)"),
        ({"item_id": "i40"}, "did not take 'i40' in policy_train"),
        ({"ranking": ["gone"]}, "item 'gone' is not in the catalogue"),
        ({"ranking": []}, "ranking: List should have at least 1 item"),
        ({"calls": [{"tool": "rank_by_magic", "arguments": {}}]}, "no tool 'rank_by_magic' in agent.tools"),
        ({"calls": [{"tool": "rank_by_next_item", "arguments": {"x": 1}}]}, "rank_by_next_item: arguments: found x"),
        ({"calls": [{"tool": "rank_by_next_item"}]}, "calls.0.arguments: Field required"),
        ({"thought": "done<|im_end|>"}, "a thought spells the control token '<|im_end|>'"),
        ({"reason": "why"}, "reason: Extra inputs are not permitted"),
    ],
)
def test_what_is_wrong_is_said_with_its_line(
    values: dict[str, Any], problem: str, sample: Sample, toolbox: Toolbox, tmp_path: Path
) -> None:
    path = write(tmp_path / "people.jsonl", line(sample), "", line(sample, **values))
    with pytest.raises(InputError, match=rf"people.jsonl: found line 3: .*{problem.replace('|', '[|]')}"):
        written_episodes(path, toolbox, AGENT, ("<|im_end|>",))


def test_rankings_must_be_of_the_candidates_each_once_and_long_enough(
    sample: Sample, toolbox: Toolbox, tmp_path: Path
) -> None:
    ranking = line(sample)["ranking"]
    foreign = next(f"i{item}" for item in range(1, 41) if item not in sample.candidates)
    lines = [line(sample, ranking=one) for one in ([*ranking[:3], foreign], [*ranking[:3], ranking[0]], ranking[:3])]
    path = write(tmp_path / "people.jsonl", *lines, "{", "[1]")

    with pytest.raises(InputError) as raised:
        written_episodes(path, toolbox, AGENT, ())

    found = raised.value.found.split("; ")
    assert found[0] == f"line 1: ranking: {foreign} not among the candidates of the sample"
    assert found[1] == "line 2: ranking: an item stands in it twice"
    assert found[2] == "line 3: ranking: 3 items, expected 4"
    assert found[3].startswith("line 4: no JSON")
    assert found[4].startswith("line 5: ")


def test_a_missing_file_is_named(toolbox: Toolbox, tmp_path: Path) -> None:
    with pytest.raises(InputError, match="no such file; expected JSON lines of written episodes"):
        written_episodes(tmp_path / "people.jsonl", toolbox, AGENT, ())


def test_the_stage_keeps_what_people_wrote_and_names_the_file(
    sample: Sample, policy: LocalPolicy, tmp_path: Path
) -> None:
    io = stage(tmp_path, policy)
    path = write(tmp_path / "people.jsonl", line(sample))
    config = CONFIG.model_copy(update={"file": "people.jsonl", "num_self_played": 0})

    report = run_expert_episodes(io, config, seed=1, agent=changed(max_completion_tokens=200))

    rows = pl.read_parquet(io.out / "episodes.parquet").filter(pl.col("source") == "file")
    assert report.kept["file"] == len(rows) == 1
    assert rows["sample_id"].to_list() == [sample.sample_id]
    assert rows["num_completion_tokens"][0] > 20
    assert read_json(io.out / "file.json") == {"sha256": file_sha256(path)}


def test_a_wrong_line_is_found_before_anything_is_played(
    sample: Sample, policy: LocalPolicy, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    io = stage(tmp_path, policy)
    write(tmp_path / "people.jsonl", line(sample, item_id="gone"))

    with pytest.raises(InputError, match="line 1: item 'gone'"):
        run_expert_episodes(io, CONFIG.model_copy(update={"file": "people.jsonl"}), seed=1, agent=AGENT)

    assert "Scripted episodes" not in capsys.readouterr().out
    assert not list(io.out.iterdir())
