"""What a comparison says: settings, pairs, groups, and the page that shows them."""

import base64
import gzip
import json
import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from typer.testing import CliRunner

from recops.artifacts import read_json, write_json
from recops.cli import app, main
from recops.compare.comparison import compare_runs, notes
from recops.compare.page import render
from recops.compare.settings import NOT_RECORDED
from recops.evaluate.statistics import holm
from recops.paths import Layout
from recops.tracked_run import tracked_run
from tests.recops.compare.evaluations import (
    FIRST_RANKS,
    STAGE,
    TRIAL,
    changed_manifest,
    changed_metrics,
    write_evaluation,
)
from tests.recops.evaluate.small_pipeline import INJECTION
from tests.recops.evaluate.test_report import NUM_TEST_SAMPLES, Elements

NDCG = [1.0, 1 / np.log2(3), 0.5, 1 / np.log2(5)]


def view_of(page: str) -> dict[str, Any]:
    packed = re.search(r'id="packed">([^<]*)<', page)
    assert packed
    return dict(json.loads(gzip.decompress(base64.b64decode(packed[1]))))


def test_only_what_differs_is_listed_with_a_value_per_run(finished: Path) -> None:
    found = compare_runs(finished, ["small", TRIAL])
    assert [(one.key, one.values) for one in found.settings] == [("grpo_model.steps", ("12", "30"))]
    assert compare_runs(finished, ["small", "small"]).settings == []


def test_the_slices_of_two_weeks_stand_side_by_side(root: Path) -> None:
    folder = root / "runs" / "small" / STAGE / TRIAL
    details = read_json(folder / "details.json")
    slices = details["data"]["slices"]
    later = {**slices["test"], "first": "2024-03-04", "last": "2024-03-10", "num_interactions": 1234}
    write_json(folder / "details.json", {**details, "data": {**details["data"], "slices": {**slices, "test": later}}})
    changed_manifest(folder)
    first, *rest = compare_runs(root, ["small", TRIAL]).settings
    before = slices["test"]
    assert first.key == "slice test"
    assert first.values == (
        f"{before['first']} to {before['last']}, {before['num_interactions']} rows",
        "2024-03-04 to 2024-03-10, 1,234 rows",
    )
    assert not [row for row in rest if row.key.startswith("slice")]


def test_stages_of_one_run_that_were_made_with_different_values_are_told_apart(root: Path) -> None:
    folder = root / "runs" / "small" / STAGE / TRIAL
    agent = {"settings": {"agent": {"max_calls": 9}}, "code_sha256": "d" * 64, "fingerprint": ""}
    changed_manifest(folder, lineage={"grpo_model": agent}, libraries={"a": "2"})
    found = {one.key: one.values for one in compare_runs(root, ["small", TRIAL]).settings}
    assert found == {
        "agent.max_calls": ("3", f"3 in {STAGE}; 9 in grpo_model"),
        "grpo_model.steps": ("12", NOT_RECORDED),
        "training_seed": ("7", NOT_RECORDED),
        "code of grpo_model": ("c" * 8, "d" * 8),
        "library a": ("1", "2"),
    }


def test_a_system_is_compared_with_itself_in_the_first_run(finished: Path) -> None:
    changes = compare_runs(finished, ["small", TRIAL]).changes[0]
    grpo = changes["grpo_model"].difference
    assert grpo is not None
    assert (grpo.mean, grpo.low, grpo.high) == pytest.approx((NDCG[0] - NDCG[2],) * 3)
    ppr = changes["ppr_model"].difference
    odd = [sample % 2 for sample in compare_runs(finished, ["small"]).evaluations[0].facts["sample_id"]]
    assert ppr is not None
    assert ppr.mean == pytest.approx(np.mean([NDCG[2] - NDCG[1] if one else NDCG[3] - NDCG[2] for one in odd]))
    assert changes["sasrec"].difference is None
    assert changes["sft_checkpoint"].difference is None


def test_all_differences_of_all_runs_are_one_family(root: Path) -> None:
    layout = Layout(root, "small")
    third = root / "third"
    write_evaluation(layout, third, FIRST_RANKS | {"sft_checkpoint": 3}, fingerprint="3" * 64, steps=12)
    found = compare_runs(root, ["small", TRIAL, str(third)])
    tested = [one for changes in found.changes for one in changes.values() if one.difference]
    assert [one.system for one in tested] == ["grpo_model", "ppr_model", "sft_checkpoint"]
    assert [one.p_holm for one in tested] == holm([one.difference.p_value for one in tested if one.difference])


def test_a_run_on_fewer_samples_is_paired_on_those(root: Path) -> None:
    layout = Layout(root, "small")
    write_evaluation(layout, root / "few", FIRST_RANKS, fingerprint="4" * 64, steps=12, max_samples=4)
    found = compare_runs(root, ["small", str(root / "few")])
    assert found.pairs[0] is not None
    assert len(found.pairs[0].facts) == 4
    assert "paired on 4 common test samples" in notes(found)[0]
    few = next(model for model in view_of(render(found))["models"] if model["run"] == "few")
    assert sum(rank is not None for rank in few["ranks"]) == 4


def test_different_candidates_are_said_and_not_tested(root: Path) -> None:
    changed_metrics(root / "runs" / "small" / STAGE / TRIAL, candidates_sha256="0123" * 16)
    found = compare_runs(root, ["small", TRIAL])
    assert (found.pairs, found.changes, found.groups) == ([None], [{}], [{}])
    assert "ranked different candidates (c0ffeec0ffee and 012301230123): no paired test" in notes(found)[0]
    page = render(found)
    assert notes(found)[0] in page
    assert {model["run"] for model in view_of(page)["models"]} == {"small"}


def test_groups_part_the_common_samples(finished: Path) -> None:
    groups = compare_runs(finished, ["small", TRIAL]).groups[0]
    assert list(groups) == ["ppr_model", "grpo_model"]
    by_question: dict[str, int] = {}
    for row in groups["grpo_model"]:
        by_question[row.question] = by_question.get(row.question, 0) + row.num_samples
        assert (row.first, row.other) == (NDCG[2], NDCG[0])
    assert set(by_question.values()) == {NUM_TEST_SAMPLES}
    assert list(by_question) == [
        "Target",
        "Items in the history",
        "Times the target was taken before",
        "Planted kind of the user",
    ]


def test_equal_runs_give_equal_pages(finished: Path, root: Path) -> None:
    one, other = (render(compare_runs(folder, ["small", TRIAL])) for folder in (finished, root))
    assert one == other
    assert str(root) not in other


def test_the_page_holds_every_episode_of_both_runs(finished: Path) -> None:
    view = view_of(render(compare_runs(finished, ["small", TRIAL])))
    assert len(view["samples"]) == NUM_TEST_SAMPLES
    models = {(model["run"], model["system"]): model for model in view["models"]}
    assert [model["system"] for model in view["models"]][:2] == ["PPR", "GRPO"]
    grpo = models[f"small {TRIAL[:8]}", "GRPO"]
    assert grpo["ranks"] == [0] * NUM_TEST_SAMPLES
    for sample in view["samples"]:
        assert grpo["episodes"][str(sample["sample_id"])]["ranking"][0] == sample["target"]
        assert sample["target"] in sample["candidates"]
        assert all(str(item) in view["items"] for item in [*sample["candidates"], *sample["history"]])
    ppr = models["small", "PPR"]["episodes"].values()
    assert all([turn[0] for turn in one["turns"]].count("tool") == 2 for one in ppr)
    assert all(one["error"] for one in models["small", "Base policy"]["episodes"].values())
    assert models["small", "SASRec"]["episodes"] is None


def test_the_page_asks_for_nothing_and_titles_are_inert(finished: Path) -> None:
    text = render(compare_runs(finished, ["small", TRIAL]))
    page = Elements(text)
    assert all(address.startswith("#") for address in page.addresses)
    assert not {"link", "iframe", "img", "object", "embed", "base"} & set(page.tags)
    assert "default-src 'none'" in text
    assert INJECTION not in text
    assert "innerHTML" not in text
    assert all(len(str(drawing["aria-label"])) > 20 for drawing in page.drawings)
    assert len(set(page.identifiers)) == len(page.identifiers)


def test_seconds_are_those_that_mlflow_recorded(root: Path) -> None:
    tags = {"recipe": "small", "stage": STAGE, "fingerprint": "f" * 64}
    with tracked_run(root, experiment="small", name=STAGE, parameters={}, tags=tags, resume=None) as tracker:
        tracker.log_metrics(
            {"latency_seconds_p50.ppr_model": 0.125, "episodes_per_second.test.ppr_model": 77.0}, step=None
        )
    found = compare_runs(root, ["small", TRIAL])
    assert found.seconds[0]["latency_seconds_p50.ppr_model"] == 0.125
    assert found.seconds[1] == {}
    page = render(found)
    assert "<td>0.125</td>" in page
    assert "<td>77.0</td>" in page


def test_the_command_prints_a_table_and_writes_the_page(root: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RECOPS_ROOT", str(root))
    result = CliRunner().invoke(app, ["compare", "small", TRIAL])
    assert result.exit_code == 0, result.output
    written = root / "runs" / "compare" / f"small_small-{TRIAL[:8]}.html"
    assert str(written) in result.output
    assert re.search(r"grpo_model\s+│\s+0.500\s+│\s+1.000  \+0.500 \[\+0.500, \+0.500\] \*", result.output)
    assert "grpo_model.steps" in result.output
    assert [path.name for path in written.parent.iterdir()] == [written.name]
    assert CliRunner().invoke(app, ["compare", "small", "--out", str(root / "one.html")]).exit_code == 0
    assert "1 run compared" in (root / "one.html").read_text(encoding="utf-8")


def test_an_unknown_run_ends_with_code_two_and_writes_nothing(
    root: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("RECOPS_ROOT", str(root))
    monkeypatch.setattr("sys.argv", ["recops", "compare", "small", "nothing"])
    with pytest.raises(SystemExit) as stop:
        main()
    assert stop.value.code == 2
    assert "nothing: found nothing; there are small" in capsys.readouterr().err
    assert not (root / "runs" / "compare").exists()
