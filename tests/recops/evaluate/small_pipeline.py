"""A pipeline's artefacts in small: ten users, forty items, six candidates, an untrained SASRec, curves of training."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
import torch

from recops.agent.environment import environment_class
from recops.agent.prompts import answer_message, call_message, tool_message
from recops.agent.times import Span, Times, TurnTimes
from recops.artifacts import write_json, write_manifest
from recops.config.agent import AgentConfig, LastItemsConfig, MergeConfig, RewardConfig
from recops.config.evaluation_reports import EvaluationConfig
from recops.paths import Layout
from recops.records import Episode, Task, label
from recops.retrieval.embeddings import catalogue_sha256, write_search
from recops.retrieval.sasrec import SasRec, save_sasrec
from recops.tools.toolbox import Toolbox
from recops.traces import Trace

NUM_USERS, NUM_ITEMS, NUM_CANDIDATES, NUM_RANKED = 10, 40, 6, 4
SLICES = ("tool_fit", "tool_fit", "tool_fit", "policy_train", "valid", "test")
USER_WITHOUT_TEST = NUM_USERS - 1
PPR_REPORT: dict[str, Any] = {
    "pairs": 40,
    "held_out_pairs": 87,
    "before": {"more": 0.21, "less": 0.22, "both": 0.13},
    "after": {"more": 0.64, "less": 0.65, "both": 0.46},
    "chance": {"more": 0.5, "less": 0.5, "both": 0.25},
}
INJECTION = "</summary><script>document.title='broken'</script><img src=http://evil.example/x.png>"

AGENT = AgentConfig(
    engine="transformers",
    loop="react",
    tools=("get_user_history", "rank_by_next_item", "rank_by_popularity"),
    max_calls=3,
    num_ranked=NUM_RANKED,
    history_length=5,
    memory=LastItemsConfig(kind="last_items"),
    history_fields=("category",),
    candidate_fields=("title",),
    tool_fields=("category",),
    profile_parts=("categories", "stores", "price", "rating", "span"),
    merge=MergeConfig(rank_constant=1.0, lead_factor=1.5),
    popularity_window_days=30,
    max_title_characters=200,
    max_completion_tokens=64,
    reward=RewardConfig(ndcg=1.0, absent=-0.5, invalid=-1.0, tool_bonus=0.1, call_cost=0.0, own={}),
)
CONFIG = EvaluationConfig(
    max_samples=100,
    max_valid_samples=3,
    num_shown_episodes=4,
    batch_size=4,
    constrain_answers=False,
    num_timed_requests=0,
    further_candidates=("popularity",),
    frozen_model=None,
    references=("random",),
    injection=None,
    bootstrap_draws=1000,
    confidence=0.95,
)


class RecordingTracker:
    """What a stage tells MLflow, kept."""

    run_id = "run"

    def __init__(self) -> None:
        self.metrics: dict[str, float] = {}
        self.files: list[str] = []
        self.contents: dict[str, str] = {}
        self.traces: list[Trace] = []

    def log_metrics(self, values: Mapping[str, float], *, step: int | None) -> None:
        self.metrics.update(values)

    def log_file(self, path: Path) -> None:
        self.files.append(path.name)
        self.contents[path.name] = path.read_text(encoding="utf-8")

    def log_folder(self, folder: Path) -> None:
        self.files += sorted(path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file())

    def log_traces(self, traces: Sequence[Trace]) -> None:
        self.traces += traces

    def log_table(self, name: str, rows: Sequence[Mapping[str, Any]]) -> None:
        raise AssertionError("only trainings write tables")


class NoTokenizer:
    """Of a policy that is not there: no control tokens, a token per letter."""

    all_special_tokens = ()

    def get_added_vocab(self) -> dict[str, int]:
        return {}

    def __call__(self, text: str, **_: Any) -> dict[str, str]:
        return {"input_ids": text}


def write_splits(folder: Path) -> Path:
    """Write `validated_splits`: users take six items each, one a day; the last user only the first three."""
    folder.mkdir(parents=True)
    interactions = _interactions()
    interactions.write_parquet(folder / "interactions.parquet")
    _items().write_parquet(folder / "items.parquet")
    kinds = ["content" if user % 2 else "popularity" for user in range(NUM_USERS)]
    users = pl.DataFrame({"user": range(NUM_USERS), "user_id": [f"u{n}" for n in range(NUM_USERS)], "kind": kinds})
    users.write_parquet(folder / "users.parquet")
    _samples(interactions).write_parquet(folder / "samples.parquet")
    write_json(folder / "splits.json", {"candidates_sha256": "c0ffee" * 8})
    write_manifest(folder, {})
    return folder


def write_sasrec(folder: Path) -> Path:
    """Write `sasrec_embeddings` with seeded, unfitted weights that know every item but the last ten."""
    folder.mkdir(parents=True)
    torch.manual_seed(0)
    model = SasRec(NUM_ITEMS, width=8, num_layers=1, num_heads=1, max_length=5, dropout=0.0)
    model.known_items[1 : NUM_ITEMS - 9] = True
    save_sasrec(model, folder)
    vectors = np.random.default_rng(0).normal(size=(NUM_USERS, 8)).astype(np.float32)
    table = {"user": np.arange(NUM_USERS, dtype=np.int32), "embedding": vectors.tolist()}
    frame = pl.DataFrame(table, schema={"user": pl.Int32, "embedding": pl.List(pl.Float32)})
    frame.write_parquet(folder / "user_embeddings.parquet")
    catalogue = catalogue_sha256(pl.Series([f"i{number}" for number in range(1, NUM_ITEMS + 1)]))
    write_search(folder, catalogue=catalogue, exact_search_max_users=NUM_USERS, similar_users_recall=1.0)
    write_manifest(folder, {})
    return folder


def write_baselines(folder: Path, ranks: Mapping[str, int], samples: pl.DataFrame) -> None:
    """Write `baselines`: each system has the same rank on every sample of valid and test, another in the catalogue."""
    folder.mkdir(parents=True)
    measured = samples.filter(pl.col("slice") != "policy_train").select("sample_id", "slice")
    frames = [
        measured.with_columns(
            pl.lit(name).alias("system"), pl.lit(ranked).alias("ranked"), pl.lit(rank, pl.Int32).alias("rank")
        )
        for name, rank in ranks.items()
        for ranked, rank in (("candidates", rank), ("candidates_popularity", rank + 1), ("catalogue", rank + 7))
    ]
    pl.concat(frames).write_parquet(folder / "rankings.parquet")
    write_manifest(folder, {})


def write_llm_baselines(folder: Path) -> None:
    """Write `llm_baselines` of a recipe that switches both off."""
    folder.mkdir(parents=True)
    write_json(folder / "systems.json", {"systems": []})
    write_manifest(folder, {})


def write_policy(folder: Path, *, offset: float) -> None:
    """Write what evaluation reads of a policy's folder beside the policy itself: its curve."""
    folder.mkdir(parents=True, exist_ok=True)
    rows = {"step": [1, 2, 3] * 2, "name": ["reward"] * 3 + ["loss"] * 3, "value": [offset + n / 10 for n in range(6)]}
    pl.DataFrame(rows).write_parquet(folder / "curve.parquet")
    write_manifest(folder, {})


def write_pipeline(root: Path, baseline_ranks: Mapping[str, int]) -> Layout:
    """Write every artefact that evaluation reads, for the recipe `small`."""
    layout = Layout(root, "small")
    splits = write_splits(layout.artefact("validated_splits"))
    write_sasrec(layout.artefact("sasrec_embeddings"))
    write_baselines(layout.artefact("baselines"), baseline_ranks, pl.read_parquet(splits / "samples.parquet"))
    for number, stage in enumerate(("base_policy", "sft_checkpoint", "grpo_model", "ppr_model")):
        write_policy(layout.artefact(stage), offset=float(number))  # type: ignore[arg-type]
    write_manifest(layout.artefact("ppr_model"), {"report": PPR_REPORT})
    write_llm_baselines(layout.artefact("llm_baselines"))
    return layout


def played(task: Task, toolbox: Toolbox, *, rank: int | None, tools: Sequence[str] = ()) -> Episode:
    """Return an episode of the real environment: calls `tools`, then puts the target at `rank` (None: invalid)."""
    environment = environment_class(toolbox, AGENT)()
    environment.reset(sample_id=task.sample.sample_id, candidates=list(task.candidates), direction=task.direction)
    messages: list[dict[str, Any]] = []
    for tool in tools:
        arguments = {"window": "ever"} if tool == "rank_by_popularity" else {}
        arguments |= {"limit": 3} if tool == "get_user_history" else {}
        answer = getattr(environment, tool)(**arguments)
        messages += [call_message(tool, arguments), tool_message(tool, answer)]
    messages.append(answer_message(_labels(task, rank)))
    return environment.finish(messages, truncated=False, num_completion_tokens=10)


def turn_times(episode: Episode) -> list[TurnTimes]:
    """Times as if each turn took two nanoseconds and each call one."""
    times, now = [], 0
    for message in episode.messages:
        if message["role"] == "assistant":
            num_calls = len(message.get("tool_calls") or ())
            calls = tuple(Span(now + 2 + place, now + 3 + place) for place in range(num_calls))
            times.append(TurnTimes(Span(now, now + 2), calls))
            now += 2 + num_calls
    return times


def note_times(times: Times | None, episodes: Sequence[Episode]) -> None:
    """Stand in for the playing of scripted episodes: give times to whoever asks for them."""
    if times is not None:
        times.update({place: turn_times(episode) for place, episode in enumerate(episodes)})


def _labels(task: Task, rank: int | None) -> list[str]:
    if rank is None:
        return ["A", "A"]
    names = [label(place) for place in range(len(task.candidates))]
    target = names.pop(task.candidates.index(task.sample.target))
    names.insert(rank, target)
    return names[:NUM_RANKED]


def _interactions() -> pl.DataFrame:
    # An item whose number is 2 modulo 4 is nobody's before the test slice: a cold target for every third user.
    rows = [
        (
            user,
            (user * 4 + step * 7 + 2 * (step == 5 and user % 3 == 0)) % NUM_ITEMS + 1,
            86_400_000 * (step * 10 + 1) + user,
            4.0,
            SLICES[step],
        )
        for user in range(NUM_USERS)
        for step in range(3 if user == USER_WITHOUT_TEST else 6)
    ]
    schema = {"user": pl.Int32, "item": pl.Int32, "timestamp": pl.Int64, "rating": pl.Float32, "slice": pl.String}
    return pl.DataFrame(rows, schema=schema, orient="row")


def _items() -> pl.DataFrame:
    numbers = range(1, NUM_ITEMS + 1)
    return pl.DataFrame(
        {
            "item": numbers,
            "item_id": [f"i{number}" for number in numbers],
            "title": [f"{INJECTION} {number}" if number % 2 else None for number in numbers],
            "category": [f"<b>kind {number % 3}</b>" for number in numbers],
            "store": ["store"] * NUM_ITEMS,
            "price": [float(number) for number in numbers],
            "average_rating": [4.0] * NUM_ITEMS,
            "description": ["words"] * NUM_ITEMS,
        },
        schema_overrides={"item": pl.Int32, "price": pl.Float32, "average_rating": pl.Float32},
    )


def _samples(interactions: pl.DataFrame) -> pl.DataFrame:
    fitted = set(interactions.filter(pl.col("slice") == "tool_fit")["item"].to_list())
    rows = []
    for number, row in enumerate(interactions.iter_rows(named=True)):
        if row["slice"] == "tool_fit":
            continue
        start = next(n for n, user in enumerate(interactions["user"]) if user == row["user"])
        taken = set(interactions["item"][start:number].to_list())
        others = [item for item in range(1, NUM_ITEMS + 1) if item not in taken | {row["item"]}]
        negatives = others[row["user"] :: 5][: NUM_CANDIDATES - 1]
        candidates = [*negatives[:2], row["item"], *negatives[2:]]
        facts = (row["user"], row["item"], row["timestamp"], row["slice"])
        further = [*others[row["user"] + 1 :: 5][: NUM_CANDIDATES - 1], row["item"]]
        rows.append((len(rows), *facts, start, number, row["item"] in fitted, candidates, further))
    schema = {
        "sample_id": pl.Int32,
        "user": pl.Int32,
        "target": pl.Int32,
        "timestamp": pl.Int64,
        "slice": pl.String,
        "history_start": pl.Int64,
        "history_end": pl.Int64,
        "target_is_warm": pl.Boolean,
        "candidates": pl.List(pl.Int32),
        "candidates_popularity": pl.List(pl.Int32),
    }
    return pl.DataFrame(rows, schema=schema, orient="row")
