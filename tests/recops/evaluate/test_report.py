import json
import re
import shutil
from collections.abc import Callable, Sequence
from html.parser import HTMLParser
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import polars as pl
import pytest

from recops.agent.times import Times
from recops.artifacts import read_json, write_json, write_manifest
from recops.config.evaluation_reports import EvaluationConfig
from recops.errors import InputError
from recops.evaluate import agent as agent_module
from recops.evaluate import traces as traces_module
from recops.evaluate.measured import baseline_systems
from recops.evaluate.report import EvaluationReport, run_evaluation
from recops.evaluate.wording import decimal, percent, system_name
from recops.metrics import ABSENT
from recops.paths import Layout
from recops.records import Episode, Task
from recops.stage_io import StageIO
from recops.tools.toolbox import Toolbox
from tests.recops.evaluate.small_pipeline import (
    AGENT,
    CONFIG,
    INJECTION,
    PPR_REPORT,
    NoTokenizer,
    RecordingTracker,
    note_times,
    played,
    write_pipeline,
)

NDCG = {0: 1.0, 1: 1 / np.log2(3), 2: 0.5}
BASELINES = {"random": 5, "sasrec": 2}
NUM_TEST_SAMPLES = 9
PLAYED_RANK = {"base_policy": None, "sft_checkpoint": 1, "grpo_model": 0, "ppr_model": 0}
PLAYED_TOOLS = {"base_policy": (), "sft_checkpoint": ("rank_by_next_item",), "grpo_model": ("get_user_history",) * 2}


def scripted(name: str, task: Task, toolbox: Toolbox) -> Episode:
    """PPR misses one sample in two, so that a difference can be shown and won and lost episodes exist."""
    misses = name == "ppr_model" and task.sample.sample_id % 2
    return played(task, toolbox, rank=3 if misses else PLAYED_RANK[name], tools=PLAYED_TOOLS.get(name, ()))


@pytest.fixture
def policies(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Stand at the door of the model: what each policy writes is fixed, everything after it is real."""
    log: list[str] = []

    def play_fixed(
        policy: Any, tasks: Sequence[Task], toolbox: Toolbox, *_: Any, times: Times | None, **__: Any
    ) -> Any:
        log.append(policy.name)
        episodes = [scripted(policy.name, task, toolbox) for task in tasks]
        note_times(times, episodes)
        return episodes

    monkeypatch.setattr(agent_module, "play", play_fixed)
    monkeypatch.setattr(traces_module, "open_tokenizer", lambda _folder: NoTokenizer())
    monkeypatch.setattr(
        agent_module,
        "load_policy",
        lambda folder, _engine: SimpleNamespace(name=folder.name, control_tokens=(), count_tokens=len),
    )
    return log


Evaluate = Callable[..., tuple[EvaluationReport, Path, RecordingTracker]]


@pytest.fixture
def evaluate(tmp_path: Path, policies: list[str]) -> Evaluate:
    layout = write_pipeline(tmp_path, BASELINES)

    def run(out: str = "out", config: EvaluationConfig = CONFIG) -> tuple[EvaluationReport, Path, RecordingTracker]:
        tracker = RecordingTracker()
        folders = {name: tmp_path / name for name in (out, f"{out}_checkpoints")}
        for folder in folders.values():
            folder.mkdir(exist_ok=True)
        io = StageIO("evaluation_reports", layout, *folders.values(), tracker)
        return run_evaluation(io, config, seed=7, agent=AGENT), folders[out], tracker

    return run


def test_metrics_file_has_the_agreed_form_and_the_right_numbers(evaluate: Evaluate) -> None:
    _, out, _ = evaluate()
    metrics = json.loads((out / "metrics.json").read_text())
    assert set(metrics) == {"recipe", "seed", "num_samples", "candidates_sha256", "systems", "injection"}
    assert (metrics["recipe"], metrics["seed"], metrics["num_samples"]) == ("small", 7, NUM_TEST_SAMPLES)
    assert metrics["candidates_sha256"] == "c0ffee" * 8
    systems = metrics["systems"]
    assert sorted(systems) == sorted([*BASELINES, *PLAYED_RANK])
    assert systems["sasrec"]["ndcg@10"] == pytest.approx({"mean": NDCG[2], "low": NDCG[2], "high": NDCG[2]})
    assert systems["sft_checkpoint"]["ndcg@10"]["mean"] == pytest.approx(NDCG[1])
    assert systems["sft_checkpoint"]["hr@1"]["mean"] == 0.0
    assert systems["grpo_model"]["mrr"]["mean"] == 1.0
    assert systems["base_policy"]["ndcg@10"]["mean"] == 0.0
    assert set(systems["sasrec"]) == {"hr@1", "hr@5", "hr@10", "ndcg@5", "ndcg@10", "mrr"}


def test_agents_also_tell_of_invalid_answers_calls_and_copies(evaluate: Evaluate) -> None:
    _, out, _ = evaluate()
    systems = json.loads((out / "metrics.json").read_text())["systems"]
    assert systems["base_policy"]["invalid_answers"] == 1.0
    assert "copies_one_tool" not in systems["base_policy"]
    assert systems["grpo_model"]["invalid_answers"] == 0.0
    assert systems["grpo_model"]["calls_per_episode"] == 2.0
    assert systems["grpo_model"]["copies_one_tool"] == 0.0


def know_the_truth(baselines: Path, oracles_rank: int) -> pl.Series:
    """Write an oracle that ranks every target at one place, and the planted case; returns the test samples' ids."""
    ranks = pl.read_parquet(baselines / "rankings.parquet").filter(system="sasrec", ranked="candidates").drop("ranked")
    oracle = ranks.with_columns(pl.lit("oracle").alias("system"), pl.lit(oracles_rank, pl.Int32).alias("rank"))
    oracle.write_parquet(baselines / "bounds.parquet")
    test_ids = ranks.filter(pl.col("slice") == "test")["sample_id"]
    write_json(baselines / "learned.json", {"slices": {"test": {"planted_case": [test_ids[4], 10_000]}}})
    write_manifest(baselines, {})
    return test_ids


def test_systems_stand_between_chance_and_the_oracle_where_a_truth_is_known(evaluate: Evaluate, tmp_path: Path) -> None:
    baselines = Layout(tmp_path, "small").artefact("baselines")
    _, plain, _ = evaluate("plain")
    assert json.loads((plain / "details.json").read_text())["learned"] == {}
    assert "learned" not in (plain / "report.html").read_text()
    test_ids = know_the_truth(baselines, oracles_rank=0)
    report, out, _ = evaluate("known")
    learned = json.loads((out / "details.json").read_text())["learned"]
    chance = sum(NDCG.get(rank, 1 / np.log2(rank + 2)) for rank in range(4)) / 6
    assert learned["chance"] == pytest.approx(chance)
    assert learned["systems"]["oracle"]["all"] == {"ndcg@10": 1.0, "learned": 1.0}
    assert learned["systems"]["sft_checkpoint"]["all"]["learned"] == pytest.approx((NDCG[1] - chance) / (1 - chance))
    assert learned["num_samples"].keys() == {"all", "content", "popularity"}
    assert report.best_system != "oracle"  # nobody can pick it
    assert "oracle" not in report.systems
    page = (out / "report.html").read_text()
    assert "How much of what can be learned was learned" in page
    assert learned["planted_case"] == [test_ids[4]]
    assert re.findall(r"Sample (\d+) \(planted case\)", page) == [str(test_ids[4])] * len(PLAYED_RANK)
    assert re.findall(r"<summary>Sample (\d+)", page)[0] == str(test_ids[4])
    assert f"PPR has learned {100 * learned['systems']['ppr_model']['all']['learned']:.1f} %" in page


def test_a_cell_above_the_oracle_is_no_darker_than_the_oracles(evaluate: Evaluate, tmp_path: Path) -> None:
    """On few samples a system can be luckier than the best order: a darker cell would be unreadable."""
    know_the_truth(Layout(tmp_path, "small").artefact("baselines"), oracles_rank=2)
    _, out, _ = evaluate("lucky")
    learned = json.loads((out / "details.json").read_text())["learned"]["systems"]
    assert max(system["all"]["learned"] for system in learned.values()) > 1
    assert max(map(float, re.findall(r"--share: ([\d.]+)", (out / "report.html").read_text()))) == 0.55


def test_a_baseline_list_is_cut_where_an_agents_list_ends(evaluate: Evaluate) -> None:
    _, out, _ = evaluate()
    systems = json.loads((out / "metrics.json").read_text())["systems"]
    assert systems["random"]["mrr"]["mean"] == 0.0
    ranks = pl.read_parquet(out / "rankings.parquet").filter(pl.col("system") == "random")["rank"]
    assert ranks.unique().to_list() == [ABSENT]


def test_metrics_follow_from_the_ranks_beside_them(evaluate: Evaluate) -> None:
    _, out, _ = evaluate()
    table = pl.read_parquet(out / "rankings.parquet").filter(pl.col("slice") == "test")
    ranks = table.filter(pl.col("system") == "ppr_model")["rank"].to_numpy()
    metrics = json.loads((out / "metrics.json").read_text())["systems"]["ppr_model"]
    assert metrics["hr@1"]["mean"] == pytest.approx((ranks == 0).mean())
    assert metrics["hr@5"]["mean"] == 1.0
    assert metrics["mrr"]["mean"] == pytest.approx((1 / (1 + ranks)).mean())


def test_differences_are_paired_with_the_stage_before_the_best_baseline_and_the_reference(evaluate: Evaluate) -> None:
    report, out, _ = evaluate()
    differences = {
        (one["system"], one["role"]): one for one in json.loads((out / "details.json").read_text())["differences"]
    }
    assert len(differences) == 3 + 4 + 4
    gained = differences["grpo_model", "predecessor"]
    assert gained["against"] == "sft_checkpoint"
    assert gained["mean"] == pytest.approx(NDCG[0] - NDCG[1])
    assert gained["reading"] == "GRPO is above SFT by .369 [.369, .369] in NDCG@10."
    assert differences["sft_checkpoint", "best baseline"]["against"] == "sasrec"
    assert differences["sft_checkpoint", "reference"]["against"] == "random"
    lost = differences["ppr_model", "predecessor"]
    assert lost["reading"].startswith("PPR is below GRPO by .")
    assert report.best_system == "grpo_model"


def test_warm_and_cold_targets_part_the_samples(evaluate: Evaluate) -> None:
    _, out, _ = evaluate()
    details = json.loads((out / "details.json").read_text())
    store_says = pl.read_parquet(out.parent / "data/small/validated_splits/samples.parquet")
    warm = store_says.filter((pl.col("slice") == "test") & pl.col("target_is_warm"))
    assert 0 < details["warm"]["num_samples"] == len(warm) < NUM_TEST_SAMPLES
    assert details["cold"]["num_samples"] == NUM_TEST_SAMPLES - len(warm)
    missed = [sample_id % 2 for sample_id in warm["sample_id"]]
    assert details["warm"]["systems"]["ppr_model"]["hr@1"]["mean"] == pytest.approx(1 - np.mean(missed))


def test_calls_are_counted_by_tool_and_by_planted_kind(evaluate: Evaluate) -> None:
    _, out, _ = evaluate()
    details = json.loads((out / "details.json").read_text())
    none = dict.fromkeys(AGENT.tools, 0.0)
    assert details["calls_by_tool"]["sft_checkpoint"] == none | {"rank_by_next_item": 1.0}
    assert details["calls_by_kind"]["grpo_model"]["content"] == none | {"get_user_history": 2.0}
    assert details["rank_histogram"]["base_policy"]["invalid"] == 1.0
    assert details["rank_histogram"]["random"]["absent"] == 1.0
    assert all(sum(shares.values()) == pytest.approx(1) for shares in details["rank_histogram"].values())


def test_every_question_parts_all_samples(evaluate: Evaluate) -> None:
    _, out, _ = evaluate()
    details = json.loads((out / "details.json").read_text())
    for question, groups in details["segments"].items():
        assert sum(cells["num_samples"] for cells in groups.values()) == NUM_TEST_SAMPLES, question
        for cells in groups.values():
            assert cells["systems"]["grpo_model"] == {"mean": 1.0, "low": 1.0, "high": 1.0}
    warm = details["segments"]["Target"]["warm"]
    assert warm["systems"]["ppr_model"] == details["warm"]["systems"]["ppr_model"]["ndcg@10"]
    assert list(details["segments"]["Planted kind of the user"]) == ["content", "popularity"]


def test_facts_of_samples_are_those_of_the_data(evaluate: Evaluate) -> None:
    _, out, _ = evaluate()
    facts = pl.read_parquet(out / "samples.parquet")
    data = out.parent / "data/small/validated_splits"
    samples, taken = pl.read_parquet(data / "samples.parquet"), pl.read_parquet(data / "interactions.parquet")
    for row in facts.iter_rows(named=True):
        sample = samples.row(row["sample_id"], named=True)
        before = taken.filter((pl.col("item") == sample["target"]) & (pl.col("timestamp") < sample["timestamp"]))
        assert (row["user"], row["target"], row["warm"]) == (sample["user"], sample["target"], sample["target_is_warm"])
        assert row["times_taken"] == len(before)
        assert row["history"] == taken["item"][sample["history_start"] : sample["history_end"]].to_list()
        assert row["history_length"] == len(row["history"])
    items = pl.read_parquet(out / "items.parquet")
    named = {item for one in facts["history"] for item in one} | set(facts["target"])
    assert named <= set(items["item"])


def test_the_page_lists_systems_by_ndcg_and_opens_with_the_recipes_baseline(evaluate: Evaluate) -> None:
    page = (evaluate()[1] / "report.html").read_text()
    rows = re.findall(r'<th scope="row">([\w -]+)</th>', page.split("<h2>Results</h2>")[1])
    assert rows[:6] == ["GRPO", "PPR", "SFT", "SASRec", "Random", "Base policy"]
    assert re.findall(r'<option value="(\w+)" selected>Random<', page) == ["random"]
    shown = re.findall(r'<tbody data-choice="(\w+)"( hidden)?>', page)
    assert [choice for choice, hidden in shown if not hidden] == ["random"]
    assert len(shown) == len(PLAYED_RANK) + len(BASELINES)


def test_valid_samples_are_bounded_and_can_be_left_out(evaluate: Evaluate) -> None:
    report, out, _ = evaluate()
    assert json.loads((out / "details.json").read_text())["valid"]["num_samples"] == 3
    assert report.valid["grpo_model"]["ndcg@10"] == 1.0
    report, out, _ = evaluate("without", CONFIG.model_copy(update={"max_valid_samples": 0}))
    assert report.valid == {}
    assert pl.read_parquet(out / "rankings.parquet")["slice"].unique().to_list() == ["test"]
    assert "Valid slice" not in (out / "report.html").read_text()


def test_a_bound_gives_every_system_the_same_seeded_samples(evaluate: Evaluate) -> None:
    report, out, _ = evaluate(config=CONFIG.model_copy(update={"max_samples": 5}))
    assert (report.num_samples, report.num_test_samples) == (5, NUM_TEST_SAMPLES)
    table = pl.read_parquet(out / "rankings.parquet").filter(pl.col("slice") == "test")
    sets = {tuple(part["sample_id"]) for _, part in table.group_by("system")}
    assert len(sets) == 1
    assert len(set(sets.pop())) == 5
    assert "drawn, with seed 7, from 9" in (out / "report.html").read_text()


def test_equal_seeds_give_equal_bytes(evaluate: Evaluate) -> None:
    first, second = evaluate("first")[1], evaluate("second")[1]
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert {str(name) for name in names} >= {
        "metrics.json", "details.json", "rankings.parquet", "episodes.parquet", "table.csv", "report.html",
        "plots/ndcg.csv", "plots/curves.csv",
    }  # fmt: skip
    assert all((first / name).read_bytes() == (second / name).read_bytes() for name in names)


def test_an_interrupted_evaluation_plays_only_what_is_missing(evaluate: Evaluate, policies: list[str]) -> None:
    _, out, tracker = evaluate()
    whole = (out / "report.html").read_bytes()
    assert policies == list(PLAYED_RANK) * 4, "test, other candidates, valid, and valid with constrained answers"
    for path in sorted(out.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    (out.parent / "out_checkpoints" / "test_ppr_model.parquet").unlink()
    policies.clear()
    assert evaluate()[1] == out
    assert policies == ["ppr_model"]
    assert (out / "report.html").read_bytes() == whole
    assert all(value > 0 for value in tracker.metrics.values())


def test_the_run_in_mlflow_holds_the_whole_evaluation(evaluate: Evaluate) -> None:
    _, out, tracker = evaluate()
    assert tracker.files == sorted(path.relative_to(out).as_posix() for path in out.rglob("*") if path.is_file())
    assert {"samples.parquet", "items.parquet", "plots/ndcg.csv"} <= set(tracker.files)


def test_latency_is_of_single_requests_and_stands_in_no_file_but_the_page_in_mlflow(
    evaluate: Evaluate,
) -> None:
    _, plain, _ = evaluate("plain")
    _, timed, tracker = evaluate("timed", CONFIG.model_copy(update={"num_timed_requests": 2}))
    measured = {name for name in tracker.metrics if name.startswith("latency")}
    assert measured == {"latency_seconds_p50.ppr_model", "latency_seconds_p95.ppr_model"}
    assert tracker.metrics["latency_seconds_p50.ppr_model"] <= tracker.metrics["latency_seconds_p95.ppr_model"]
    assert all((timed / path.name).read_bytes() == path.read_bytes() for path in plain.iterdir() if path.is_file())
    page = tracker.contents["report.html"]
    assert "PPR answered 2 requests one by one" in page
    median, slow = (tracker.metrics[f"latency_seconds_{name}.ppr_model"] for name in ("p50", "p95"))
    assert f"{median:.2f} s in the median, {slow:.2f} s at the 95th percentile" in page
    assert "one by one" not in (timed / "report.html").read_text(encoding="utf-8")


def test_a_reference_that_is_no_baseline_is_named(evaluate: Evaluate) -> None:
    with pytest.raises(InputError, match="references: found popularity; expected some of random, sasrec"):
        evaluate(config=CONFIG.model_copy(update={"references": ("popularity",)}))


def test_every_system_ranks_the_same_samples_among_further_candidates(evaluate: Evaluate) -> None:
    report, out, _ = evaluate()
    results = json.loads((out / "further_candidates.json").read_text())["popularity"]
    assert results["num_samples"] == NUM_TEST_SAMPLES
    systems = {name: values["ndcg@10"]["mean"] for name, values in results["systems"].items()}
    assert systems["sasrec"] == pytest.approx(1 / np.log2(2 + BASELINES["sasrec"] + 1))
    assert (systems["sft_checkpoint"], systems["base_policy"]) == (pytest.approx(NDCG[1]), 0.0)
    assert results["systems"]["grpo_model"]["calls_per_episode"] == 2.0
    against = {(one["system"], one["against"]): one for one in results["differences"]}
    assert against["sft_checkpoint", "sasrec"]["mean"] == pytest.approx(NDCG[1] - systems["sasrec"])
    assert ("ppr_model", "random") in against
    ranks = pl.read_parquet(out / "further_rankings.parquet")
    own = pl.read_parquet(out / "rankings.parquet").filter(pl.col("slice") == "test")
    assert ranks["sample_id"].to_list() == own["sample_id"].to_list()
    assert report.further_candidates["popularity"]["sasrec"]["ndcg@10"] == systems["sasrec"]
    page = (out / "report.html").read_text()
    section = page.split("With popularity negatives")[1].split("<h2>")[0]
    assert results["differences"][0]["reading"] in section
    assert re.findall(r'<th scope="row">([\w -]+)</th>', section)[0] == "GRPO"


def test_agents_are_asked_about_the_further_candidates(
    evaluate: Evaluate, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    asked: list[Task] = []
    play = agent_module.play

    def kept(policy: Any, tasks: Sequence[Task], *rest: Any, **settings: Any) -> list[Episode]:
        asked.extend(tasks)
        return play(policy, tasks, *rest, **settings)

    monkeypatch.setattr(agent_module, "play", kept)
    evaluate()
    samples = pl.read_parquet(tmp_path / "data/small/validated_splits/samples.parquet")
    frozen = {row["sample_id"]: row["candidates_popularity"] for row in samples.iter_rows(named=True)}
    further = [task for task in asked if list(task.candidates) == frozen[task.sample.sample_id]]
    assert len(further) == NUM_TEST_SAMPLES * len(PLAYED_RANK)
    assert all(task.candidates == task.sample.candidates for task in further), "tools must see them too"


def test_without_further_candidates_the_rest_is_the_same(evaluate: Evaluate) -> None:
    _, out, _ = evaluate()
    _, plain, _ = evaluate("plain", CONFIG.model_copy(update={"further_candidates": ()}))
    own = {"further_candidates.json", "further_rankings.parquet", "report.html"}
    names = {path.relative_to(out) for path in out.rglob("*") if path.is_file() and path.name not in own}
    assert names == {path.relative_to(plain) for path in plain.rglob("*") if path.is_file() and path.name not in own}
    assert all((out / name).read_bytes() == (plain / name).read_bytes() for name in names)
    assert "popularity negatives" not in (plain / "report.html").read_text()


def test_further_candidates_that_are_not_frozen_are_named(evaluate: Evaluate) -> None:
    with pytest.raises(InputError, match=r"further_candidates: found uniform; expected some of validated_splits"):
        evaluate(config=CONFIG.model_copy(update={"further_candidates": ("uniform",)}))


def test_missing_baseline_ranks_are_named(evaluate: Evaluate) -> None:
    columns = {"system": ["sasrec"], "sample_id": [2], "slice": ["test"], "ranked": ["candidates"], "rank": [0]}
    rankings = pl.DataFrame(columns).cast({"sample_id": pl.Int32, "rank": pl.Int32})
    with pytest.raises(InputError, match="1 of 2 test samples without a rank of sasrec"):
        baseline_systems(rankings, "test", np.array([2, 5], dtype=np.int32), 10)


class Elements(HTMLParser):
    """Tags and addresses of a page."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.addresses: list[str] = []
        self.identifiers: list[str] = []
        self.drawings: list[dict[str, str | None]] = []
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        given = dict(attrs)
        self.addresses += [
            str(given[name]) for name in ("src", "href", "xlink:href", "srcset", "action") if name in given
        ]
        self.identifiers += [str(given["id"])] if "id" in given else []
        self.drawings += [given] if tag == "svg" else []


def test_page_asks_for_nothing_from_outside(evaluate: Evaluate) -> None:
    text = (evaluate()[1] / "report.html").read_text()
    page = Elements(text)
    assert all(address.startswith("#") for address in page.addresses)
    assert not {"link", "iframe", "img", "object", "embed", "base"} & set(page.tags)
    styles = re.findall(r"<style>(.*?)</style>", text, flags=re.DOTALL)
    assert len(styles) == 1
    assert not re.search(r"url\(|@import|@font-face", styles[0])
    assert all(part.startswith("url(#") for part in re.findall(r"url\([^)]*", text))


def test_page_describes_every_drawing_and_repeats_no_identifier(evaluate: Evaluate) -> None:
    page = Elements((evaluate()[1] / "report.html").read_text())
    assert (
        len(page.drawings) == 6
    )  # systems, differences, those on other candidates, whom SFT believes, rewards, losses
    assert all(drawing["role"] == "img" and len(str(drawing["aria-label"])) > 20 for drawing in page.drawings)
    assert len(set(page.identifiers)) == len(page.identifiers)


def test_the_page_has_every_section_with_the_numbers_of_the_files_beside_it(evaluate: Evaluate) -> None:
    folder = evaluate()[1]
    text, details = (folder / "report.html").read_text(), read_json(folder / "details.json")
    titles = re.findall(r"<h2>([^<]*)</h2>", text)
    sections = dict(zip(titles, re.split(r"<h2>[^<]*</h2>", text)[1:], strict=True))
    cost, segments, trust = details["cost"]["ppr_model"], details["segments"], details["trust"]["sft_checkpoint"]
    group = next(cells for question, groups in segments.items() if question != "Target" for cells in groups.values())
    [right] = [shares["right_followed"] for shares in trust.values()]
    numbers = {
        "Results": decimal(read_json(folder / "metrics.json")["systems"]["ppr_model"]["ndcg@10"]["mean"]),
        "Every system against a chosen one": decimal(details["against"]["sasrec"]["ppr_model"]["mean"]),
        "Groups of samples": decimal(group["systems"]["ppr_model"]["mean"]),
        "Where the target lands": percent(max(details["rank_histogram"]["ppr_model"].values())),
        "What the agents call": f"{max(details['calls_by_tool']['sft_checkpoint'].values()):.2f}",
        "Whom the agents believe": percent(right["mean"]),
        "What an answer costs": f"<td>{cost['tokens']['mean']:.1f}</td>",
        "Questions about two candidates": percent(details["pair_accuracy"]["after"]["both"]),
        "Valid slice": "Valid slice",
        "Episodes": "Conversation",
    }
    assert set(numbers) < set(titles)
    missing = {title: number for title, number in numbers.items() if number not in f"{title}{sections[title]}"}
    assert not missing


def test_the_page_tells_the_accuracy_on_pairs_per_direction_beside_chance(evaluate: Evaluate, tmp_path: Path) -> None:
    text = (evaluate()[1] / "report.html").read_text()
    [section] = re.findall(r"<h2>Questions about two candidates</h2>(.*?)<h2>", text, re.DOTALL)
    assert f"{PPR_REPORT['held_out_pairs']} pairs" in section
    rows = re.findall(r'<th scope="row">([^<]*)</th><td>([^<]*)</td><td>([^<]*)</td><td>([^<]*)</td>', section)
    shares = [
        [percent(PPR_REPORT[row][way]) for way in ("more", "less", "both")] for row in ("chance", "before", "after")
    ]
    # 18, 19 and 11 of 87 pairs before, 56, 57 and 40 after: Wilson's intervals, worked out by hand.
    ends = [
        ["", "", ""],
        [" [13.5 %, 30.4 %]", " [14.5 %, 31.6 %]", " [7.2 %, 21.2 %]"],
        [" [53.9 %, 73.6 %]", " [55.1 %, 74.7 %]", " [35.9 %, 56.4 %]"],
    ]
    expected = [[f"{share}{end}" for share, end in zip(*row, strict=True)] for row in zip(shares, ends, strict=True)]
    assert [list(values) for _, *values in rows] == expected
    assert [name for name, *_ in rows] == [
        "Chance",
        f"{system_name('grpo_model')}, before",
        f"{system_name('ppr_model')}, after",
    ]
    write_manifest(Layout(tmp_path, "small").artefact("ppr_model"), {})  # as of a trial that leaves the stage out
    assert "Questions about two candidates" not in (evaluate("without")[1] / "report.html").read_text()


def test_page_drawings_follow_the_theme(evaluate: Evaluate) -> None:
    text = (evaluate()[1] / "report.html").read_text()
    drawings = "".join(re.findall(r"<svg.*?</svg>", text, flags=re.DOTALL))
    assert not re.search(r"#[0-9a-fA-F]{6}\b", drawings)
    used = set(re.findall(r"var\((--[a-z0-9-]+)\)", drawings))
    dark = "".join(part.split("}", 1)[0] for part in text.split("prefers-color-scheme: dark")[1:])
    assert used
    assert all(f"{name}:" in dark for name in used)


def test_title_of_an_item_is_inert(evaluate: Evaluate) -> None:
    text = (evaluate()[1] / "report.html").read_text()
    assert INJECTION not in text
    assert "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}script" in text
    assert Elements(text).tags.count("script") == 1
    assert "b" not in Elements(text.split("<td>", 1)[1].split("Conversation")[0]).tags


def test_page_shows_won_and_lost_episodes_of_the_same_samples(evaluate: Evaluate) -> None:
    text = (evaluate()[1] / "report.html").read_text()
    shown = re.findall(r'data-system="(\w+)" data-outcome="(\w+)">\s*<summary>Sample (\d+)', text)
    assert len(shown) == 4 * CONFIG.num_shown_episodes
    by_system = {name: [sample for system, _, sample in shown if system == name] for name in PLAYED_RANK}
    assert len({tuple(samples) for samples in by_system.values()}) == 1
    assert sorted(outcome for system, outcome, _ in shown if system == "ppr_model") == ["lost"] * 2 + ["won"] * 2
    assert text.count("(target)") == len(shown)
    ranks = re.findall(r'data-sample="\d+" data-rank="(\d+)" data-system="grpo_model"', text)
    assert ranks == ["0"] * CONFIG.num_shown_episodes


def test_the_episodes_of_the_page_are_traced_with_their_times_and_nothing_of_them_is_in_the_artefact(
    evaluate: Evaluate,
) -> None:
    _, out, tracker = evaluate()
    shown = {int(sample_id) for sample_id in re.findall(r'data-sample="(\d+)"', (out / "report.html").read_text())}
    traced = {(trace.tags["system"], int(trace.tags["sample_id"])) for trace in tracker.traces}
    assert len(tracker.traces) == len(traced) == CONFIG.num_shown_episodes * len(PLAYED_RANK)
    assert traced == {(system, sample_id) for system in PLAYED_RANK for sample_id in shown}
    [trace, *_] = [trace for trace in tracker.traces if trace.tags["system"] == "grpo_model"]
    names = [(step.kind, step.name, step.started_ns, step.ended_ns) for step in trace.steps]
    tool = "get_user_history"
    assert names == [
        ("CHAT_MODEL", "turn", 0, 2),
        ("TOOL", tool, 2, 3),
        ("CHAT_MODEL", "turn", 3, 5),
        ("TOOL", tool, 5, 6),
        ("CHAT_MODEL", "turn", 6, 8),
    ]
    assert (trace.whole.started_ns, trace.whole.ended_ns) == (0, 8)
    assert not [file for file in out.rglob("*") if "times" in file.name]


def test_a_resumed_evaluation_traces_with_the_times_of_the_interrupted_one(
    evaluate: Evaluate, policies: list[str]
) -> None:
    _, out, first = evaluate()
    num_played = len(policies)
    shutil.rmtree(out)
    _, _, again = evaluate()
    assert len(policies) == num_played
    assert again.traces == first.traces
