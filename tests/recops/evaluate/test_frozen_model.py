"""A model that nothing here trained, as a baseline of the report: behind a real server, and in a folder."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import polars as pl
import pytest

from recops.config.endpoint import EndpointConfig
from recops.config.evaluation_reports import EvaluationConfig, FrozenEndpointConfig, FrozenFolderConfig
from recops.errors import InputError
from recops.evaluate.report import EvaluationReport, run_evaluation
from recops.metrics import ABSENT
from recops.paths import Layout
from recops.retrieval.evidence import Evidence
from recops.stage_io import StageIO
from recops.tools.toolbox import Toolbox
from recops.train.models import save_policy
from tests.recops.agent.chat_server import ChatServer, Response, chat_server, completion
from tests.recops.agent.served_policy import served_policy
from tests.recops.agent.world import tiny_policy
from tests.recops.evaluate.small_pipeline import AGENT, CONFIG, RecordingTracker

GOOD = completion("I know enough.\nAnswer: C A B D")
SERVER = EndpointConfig(
    url="", model="m", api_key_variable=None, control_tokens=(), timeout_seconds=5.0, max_retries=1,
    backoff_seconds=0.01, concurrency=4, max_failed_fraction=0.0,
)  # fmt: skip
LEAN = CONFIG.model_copy(update={"max_valid_samples": 0, "further_candidates": (), "bootstrap_draws": 100})

Evaluate = Callable[..., tuple[EvaluationReport, Path]]


@pytest.fixture
def evaluate(layout: Layout, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evaluate:
    monkeypatch.setattr("recops.evaluate.measured.AGENT_STAGES", ("ppr_model",))

    def run(frozen: Any, out: str = "out", config: EvaluationConfig = LEAN) -> tuple[EvaluationReport, Path]:
        folders = [tmp_path / name for name in (out, "checkpoints")]
        for folder in folders:
            folder.mkdir(exist_ok=True)
        io = StageIO("evaluation_reports", layout, *folders, RecordingTracker())  # type: ignore[arg-type]
        return run_evaluation(io, config.model_copy(update={"frozen_model": frozen}), seed=7, agent=AGENT), folders[0]

    return run


def endpoint(server: ChatServer | str, **values: Any) -> FrozenEndpointConfig:
    url = server if isinstance(server, str) else server.url
    settings = SERVER.model_copy(update={"url": url, **values})
    return FrozenEndpointConfig(kind="endpoint", name="large_model", server=settings)


def content(out: Path, name: str) -> Any:
    return json.loads((out / name).read_text())


def test_a_model_behind_an_endpoint_is_a_baseline_of_the_report(evaluate: Evaluate) -> None:
    """A server that is busy now and then is asked again, as everywhere."""
    with chat_server(lambda _, number: Response(429, "busy") if number % 3 == 0 else GOOD) as server:
        report, out = evaluate(endpoint(server, max_retries=9))
    ranks = pl.read_parquet(out / "rankings.parquet").filter(pl.col("system") == "large_model")
    samples = pl.read_parquet(out / "frozen_episodes.parquet")
    assert ranks["rank"].to_list() == samples["rank"].to_list()
    for row in samples.iter_rows(named=True):
        order = [row["candidates"][place] for place in (2, 0, 1, 3)]
        assert row["rank"] == (order.index(row["target"]) if row["target"] in order else ABSENT)
    systems = content(out, "metrics.json")["systems"]
    assert (systems["large_model"]["invalid_answers"], systems["large_model"]["calls_per_episode"]) == (0.0, 0.0)
    table = pl.read_csv(out / "table.csv")
    assert table.filter(pl.col("system") == "large_model")["kind"].to_list() == ["baseline"]
    assert "large_model" in content(out, "details.json")["against"]
    assert set(pl.read_parquet(out / "episodes.parquet")["system"]) == {"ppr_model"}
    assert report.frozen_model == {"name": "large_model", "url": server.url, "model": "m"}
    assert '<tr class="baseline"><th scope="row">Large model</th>' in (out / "report.html").read_text()


def test_it_may_be_the_bar_that_agents_are_held_to(evaluate: Evaluate) -> None:
    config = LEAN.model_copy(update={"references": ("large_model",)})
    with chat_server(lambda *_: GOOD) as server:
        _, out = evaluate(endpoint(server), config=config)
    pairs = {(one["system"], one["against"]) for one in content(out, "details.json")["differences"]}
    assert ("ppr_model", "large_model") in pairs


def test_what_was_played_is_not_asked_again(evaluate: Evaluate) -> None:
    with chat_server(lambda *_: GOOD) as server:
        _, out = evaluate(endpoint(server), "first")
        asked = len(server.asked)
        _, again = evaluate(endpoint(server), "second")
    assert len(server.asked) == asked > 0
    assert (again / "report.html").read_bytes() == (out / "report.html").read_bytes()


@pytest.mark.parametrize(
    "bad", [Response(429, "slow down"), Response(200, "{}", delay_seconds=0.4), Response(400, "context of 9 tokens")]
)
def test_failed_episodes_count_as_absent_until_they_are_too_many(bad: Response, evaluate: Evaluate) -> None:
    def answer(body: dict[str, Any], _: int) -> Response:
        return bad if body["seed"] % 2 else GOOD

    with chat_server(answer) as server:
        _, out = evaluate(endpoint(server, max_failed_fraction=0.99, timeout_seconds=0.2))
        episodes = pl.read_parquet(out / "frozen_episodes.parquet")
        failed = episodes.filter(pl.col("error") == "endpoint_failed")
        assert 0 < len(failed) < len(episodes)
        assert set(failed["rank"]) == {ABSENT}
        share = content(out, "metrics.json")["systems"]["large_model"]["invalid_answers"]
        assert share == pytest.approx(len(failed) / len(episodes))
        (out.parent / "checkpoints" / "test_large_model.parquet").unlink()
        with pytest.raises(InputError, match=r"episodes without an answer, the last: .*max_failed_fraction"):
            evaluate(endpoint(server, timeout_seconds=0.2), "stopped")
    assert not list((out.parent / "stopped").iterdir())


def test_a_model_in_a_folder_plays_as_a_policy_does(evaluate: Evaluate, policy_folder: Path) -> None:
    frozen = FrozenFolderConfig(kind="folder", name="twin", folder=str(policy_folder))
    report, out = evaluate(frozen)
    ranks = pl.read_parquet(out / "rankings.parquet")
    own, twin = (ranks.filter(pl.col("system") == name)["rank"].to_list() for name in ("ppr_model", "twin"))
    assert own == twin
    assert len(report.frozen_model["weights_sha256"]) == 64
    differences = content(out, "details.json")["differences"]
    assert all(one["role"] != "predecessor" for one in differences), "it is no stage before the policies"


def test_an_endpoint_answers_freely_where_the_policies_are_held_to_valid_lists(evaluate: Evaluate) -> None:
    with chat_server(lambda *_: completion("I do not know.")) as server:
        _, out = evaluate(endpoint(server), config=LEAN.model_copy(update={"constrain_answers": True}))
    assert content(out, "metrics.json")["systems"]["large_model"]["invalid_answers"] == 1.0


@pytest.mark.parametrize("name", ["sasrec", "ppr_model"])
def test_a_name_that_is_taken_is_refused(name: str, evaluate: Evaluate) -> None:
    frozen = FrozenFolderConfig(kind="folder", name=name, folder="nowhere")
    with pytest.raises(InputError, match=f"frozen_model.name: found {name}; expected none of random, sasrec"):
        evaluate(frozen)


def test_without_one_nothing_is_written_of_it(evaluate: Evaluate) -> None:
    report, out = evaluate(None)
    assert report.frozen_model == {}
    assert not (out / "frozen_episodes.parquet").exists()


@pytest.mark.slow
def test_transformers_serve_is_a_row_of_the_report(evaluate: Evaluate, evidence: Evidence, tmp_path: Path) -> None:
    policy, folder = tiny_policy(Toolbox(evidence, AGENT), AGENT), tmp_path / "served"
    save_policy(policy.model, policy.tokenizer, folder, max_new_tokens=AGENT.max_completion_tokens)
    with served_policy(folder) as url:
        _, out = evaluate(endpoint(url, model=str(folder), timeout_seconds=60.0, concurrency=2))
    episodes = pl.read_parquet(out / "frozen_episodes.parquet")
    assert "endpoint_failed" not in episodes["error"].to_list()
    assert any(json.loads(calls) for calls in episodes["calls"]), "tools were called through the server"
    assert content(out, "metrics.json")["systems"]["large_model"]["calls_per_episode"] > 0
