"""Stage `expert_episodes`: conversations on `policy_train` that are worth imitating, from up to four kinds of experts.

The scripted expert merges tools better than any of them alone; the policy's own episodes (self-augmentation,
RecThinker) keep what it already does well in its repertoire; a stronger model behind an endpoint and people who know
the shop may add theirs. All are kept only where outcome, novelty and balance are good.
"""

import json
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import polars as pl

from recops.agent.episode_filter import rejections
from recops.agent.expert_sources import FILE, Experts
from recops.agent.expert_tasks import draw_tasks
from recops.agent.fusion import Fusion, sources_of
from recops.agent.local_policy import control_tokens_of, count_tokens_of, escaped_tokens_of, open_tokenizer
from recops.agent.prompts import task_messages, tool_schemas
from recops.agent.rewards import CUTOFF
from recops.agent.script import Script, opening_calls, scripted_episode
from recops.artifacts import file_sha256, write_json
from recops.config.agent import AgentConfig
from recops.config.policy import ExpertEpisodesConfig
from recops.errors import InputError
from recops.metrics import ndcg_at_k, rank_of
from recops.records import Episode, Task
from recops.seeds import sub_seed
from recops.stage_io import StageIO
from recops.tools.toolbox import Toolbox

__all__ = ["ExpertReport", "Script", "fit_script", "run_expert_episodes", "scripted_episode"]


@dataclass(frozen=True)
class ExpertReport:
    """What was played and kept per source, and NDCG@10 on the list-wise tasks before the filter.

    `ndcg` also has every single tool order on all of `policy_train`: what an expert must beat to be one.
    """

    played: dict[str, int]
    kept: dict[str, int]
    rejected: dict[str, dict[str, int]]
    ndcg: dict[str, float]


def run_expert_episodes(io: StageIO, config: ExpertEpisodesConfig, *, seed: int, agent: AgentConfig) -> ExpertReport:
    """Write `expert_episodes`.

    Raises:
        InputError: no episode is worth keeping, a setting does not fit the suite of tools, a written line is wrong, or
            the endpoint fails more often than the recipe allows.
    """
    experts = _experts(io, config, seed=seed, agent=agent)
    episodes = _played(experts, io.layout.root)
    reasons = _reasons(episodes, experts)
    rejected = {source: dict(sorted(Counter(filter(None, found)).items())) for source, found in reasons.items()}
    rows = [
        _row(episode, source, experts.toolbox, agent)
        for source, played in episodes.items()
        for episode, reason in zip(played, reasons[source], strict=True)
        if reason is None
    ]
    if not rows:
        step = "Raise expert_episodes.keep_target_in_top, num_scripted or agent.max_completion_tokens."
        raise InputError("expert_episodes", found=str(rejected), expected="an episode to keep", next_step=step)
    pl.DataFrame(rows, schema=_SCHEMA, orient="row").write_parquet(io.out / "episodes.parquet")
    write_json(io.out / "rejected.json", rejected)
    write_json(io.out / "tools.json", tool_schemas(agent))
    script = experts.script
    write_json(io.out / "fusion.json", {"ranking": script.ranking.described(), "pairs": script.pairs.described()})
    if config.file is not None:
        write_json(io.out / "file.json", {"sha256": file_sha256(io.layout.root / config.file)})
    return ExpertReport(
        played={source: len(played) for source, played in episodes.items()},
        kept={source: found.count(None) for source, found in reasons.items()},
        rejected=rejected,
        ndcg=_ndcg(episodes, script.ranking),
    )


def _experts(io: StageIO, config: ExpertEpisodesConfig, *, seed: int, agent: AgentConfig) -> Experts:
    base_policy = io.input("base_policy")
    tokenizer = open_tokenizer(base_policy)
    theirs = config.endpoint.server.control_tokens if config.endpoint is not None else ()
    folders = io.input("validated_splits"), io.input("sasrec_embeddings")
    toolbox = Toolbox.load(
        *folders,
        agent,
        seed,
        control_tokens=(*escaped_tokens_of(tokenizer), *theirs),
        count_tokens=partial(count_tokens_of, tokenizer),
    )
    script = fit_script(toolbox, config, agent, seed=seed)
    return Experts(base_policy, tokenizer, control_tokens_of(tokenizer), toolbox, script, config, agent, seed)


def _played(experts: Experts, root: Path) -> dict[str, list[Episode]]:
    """Return the episodes of every source, in the order of their rows."""
    sources = experts.all_sources(root)
    # What people wrote is read first: a wrong line must not be found after an hour of play.
    found = {source: sources[source]() for source in sorted(sources, key=lambda source: source != FILE)}
    return {source: found[source] for source in sources}


def _reasons(episodes: Mapping[str, Sequence[Episode]], experts: Experts) -> dict[str, list[str | None]]:
    """Return for each episode of each source why it is left out, or None."""
    everything = [episode for played in episodes.values() for episode in played]
    found = iter(
        rejections(
            everything,
            experts.config,
            max_tokens=experts.agent.max_completion_tokens,
            control_tokens=experts.control_tokens,
        )
    )
    return {source: [next(found) for _ in played] for source, played in episodes.items()}


def fit_script(toolbox: Toolbox, config: ExpertEpisodesConfig, agent: AgentConfig, *, seed: int) -> Script:
    """Fit the expert's weights on `policy_train`, for whole candidate sets and for pairs.

    Raises:
        InputError: the suite has fewer ordering calls than the script makes, or the slice has no samples.
    """
    store = toolbox.store
    ids = store.sample_ids("policy_train")
    if not len(ids):
        step = "Give validated_splits.split.policy_train more of the time."
        raise InputError("policy_train", found="no sample", expected="at least one", next_step=step)
    toolbox.evidence.prepare(ids.tolist())
    ranking = [Task(sample, sample.candidates, "rank") for sample in map(store.sample, ids.tolist())]
    pairs = draw_tasks(store, ids, count=len(ids), pair_fraction=1.0, seed=sub_seed(seed, "pairs to fit"))
    allowed = min(len(sources_of(agent)), agent.max_calls - len(opening_calls(agent)))
    if config.max_orders > allowed:
        step = "Lower it, or add ordering tools to agent.tools."
        expected = f"at most {allowed}, as many ordering calls as agent.tools and agent.max_calls allow"
        raise InputError("expert_episodes.max_orders", found=config.max_orders, expected=expected, next_step=step)
    return Script(
        ranking=Fusion.fit(toolbox, ranking, agent),
        pairs=Fusion.fit(toolbox, pairs, agent),
        num_orders=(config.min_orders, config.max_orders),
        explore_fraction=config.explore_fraction,
        look_fraction=config.look_fraction,
    )


_SCHEMA = {
    "sample_id": pl.Int32,
    "source": pl.String,
    "direction": pl.String,
    "messages": pl.String,
    "reward": pl.Float64,
    "num_calls": pl.Int32,
    "num_completion_tokens": pl.Int32,
}


def _row(episode: Episode, source: str, toolbox: Toolbox, agent: AgentConfig) -> tuple[Any, ...]:
    task = episode.task
    messages = json.dumps([*task_messages(task, toolbox, agent), *episode.messages], ensure_ascii=False)
    counts = (episode.reward, len(episode.calls), episode.num_completion_tokens)
    return (task.sample.sample_id, source, task.direction, messages, *counts)


def _ndcg(episodes: dict[str, list[Episode]], ranking: Fusion) -> dict[str, float]:
    """NDCG@10 per source of episodes, an invalid answer counting 0, and per single tool order."""
    values = ranking.single_ndcg()
    for source, played in episodes.items():
        ranks = [rank_of(one.task.sample.target, one.answer.ranking) for one in played if one.task.direction == "rank"]
        if ranks:
            values[source] = float(ndcg_at_k(ranks, CUTOFF).mean())
    return values
