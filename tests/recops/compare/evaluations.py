"""Finished evaluations in small: the real stage over scripted policies, with a manifest as `run_stage` writes it."""

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from recops.agent.times import Times
from recops.artifacts import read_json, write_json, write_manifest
from recops.evaluate import agent as agent_module
from recops.evaluate import traces as traces_module
from recops.evaluate.report import run_evaluation
from recops.paths import Layout
from recops.records import Episode, Task
from recops.stage_io import StageIO
from recops.tools.toolbox import Toolbox
from tests.recops.evaluate.small_pipeline import (
    AGENT,
    CONFIG,
    NoTokenizer,
    RecordingTracker,
    note_times,
    played,
    write_pipeline,
)

STAGE = "evaluation_reports"
BASELINES = {"random": 5, "sasrec": 2}
FIRST_RANKS = {"base_policy": None, "sft_checkpoint": 1, "grpo_model": 2, "ppr_model": 2}
SECOND_RANKS = {"base_policy": None, "sft_checkpoint": 1, "grpo_model": 0, "ppr_model": 3}
TRIAL = "abcd1234abcd1234"


def write_evaluations(root: Path) -> None:
    """Write the evaluation of the recipe `small`, and of a trial that trained GRPO and PPR otherwise."""
    layout = write_pipeline(root, BASELINES)
    write_evaluation(layout, layout.artefact("evaluation_reports"), FIRST_RANKS, fingerprint="f" * 64, steps=12)
    trial = root / "runs" / "small" / STAGE / TRIAL
    write_evaluation(layout, trial, SECOND_RANKS, fingerprint=TRIAL + "0" * 48, steps=30)


def write_evaluation(
    layout: Layout, folder: Path, ranks: Mapping[str, int | None], *, fingerprint: str, steps: int, **config: Any
) -> None:
    """Evaluate policies that put the target at `ranks`, on every second sample one place later for PPR."""
    folder.mkdir(parents=True)
    checkpoints = layout.root / "unfinished"
    checkpoints.mkdir()
    settings = CONFIG.model_copy(update=config)
    with pytest.MonkeyPatch.context() as patch:
        _script(patch, ranks)
        io = StageIO("evaluation_reports", layout, folder, checkpoints, RecordingTracker())
        run_evaluation(io, settings, seed=7, agent=AGENT)
    shutil.rmtree(checkpoints)
    sections = {"seed": 7, "agent": AGENT.model_dump(mode="json"), STAGE: settings.model_dump(mode="json")}
    grpo = {
        "settings": {"training_seed": 7, "grpo_model": {"steps": steps}},
        "code_sha256": "c" * 64,
        "fingerprint": "",
    }
    facts = {"stage": STAGE, "recipe": "small", "settings": sections, "code_sha256": "e" * 64, "libraries": {"a": "1"}}
    write_manifest(folder, {**facts, "fingerprint": fingerprint, "lineage": {"grpo_model": grpo}})


def changed_manifest(folder: Path, **facts: Any) -> None:
    """Write other facts into the manifest of a finished evaluation, and list its files anew."""
    manifest = read_json(folder / "manifest.json")
    manifest.pop("files")
    write_manifest(folder, {**manifest, **facts})


def changed_metrics(folder: Path, **values: Any) -> None:
    """Write other values into the metrics of a finished evaluation."""
    write_json(folder / "metrics.json", {**read_json(folder / "metrics.json"), **values})
    changed_manifest(folder)


def _script(patch: pytest.MonkeyPatch, ranks: Mapping[str, int | None]) -> None:
    """Stand at the door of the model: what each policy writes is fixed, everything after it is real."""

    def play(policy: Any, tasks: Sequence[Task], toolbox: Toolbox, *_: Any, times: Times, **__: Any) -> list[Episode]:
        episodes = [_played(policy.name, task, toolbox, ranks[policy.name]) for task in tasks]
        note_times(times, episodes)
        return episodes

    def load(folder: Path, _engine: str) -> SimpleNamespace:
        return SimpleNamespace(name=folder.name, control_tokens=(), count_tokens=len)

    patch.setattr(agent_module, "play", play)
    patch.setattr(agent_module, "load_policy", load)
    patch.setattr(traces_module, "open_tokenizer", lambda _folder: NoTokenizer())


def _played(name: str, task: Task, toolbox: Toolbox, rank: int | None) -> Episode:
    tools = ("rank_by_next_item", "rank_by_popularity") if name == "ppr_model" else ()
    later = name == "ppr_model" and rank is not None and task.sample.sample_id % 2
    return played(task, toolbox, rank=rank - 1 if later and rank is not None else rank, tools=tools)
