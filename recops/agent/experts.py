"""Stage `expert_episodes`: scripted and self-played conversations on `policy_train`, filtered by outcome.

The scripted expert merges tools better than any of them alone; the policy's own episodes (self-augmentation,
RecThinker) keep what it already does well in its repertoire. Both are kept only where the outcome is good.
"""

import dataclasses
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import polars as pl

from recops import interrupt
from recops.agent.expert_tasks import draw_tasks
from recops.agent.fusion import Fusion, sources_of
from recops.agent.outcome import rejection
from recops.agent.policy import Policy
from recops.agent.prompts import task_messages, tool_schemas
from recops.agent.rewards import CUTOFF
from recops.agent.rollout import play
from recops.agent.script import Script, scripted_episode
from recops.artifacts import write_json
from recops.config.agent import AgentConfig
from recops.config.policy import ExpertEpisodesConfig
from recops.errors import InputError
from recops.metrics import ndcg_at_k, rank_of
from recops.progress import progress
from recops.records import Episode, Task
from recops.seeds import sub_seed
from recops.stage_io import StageIO
from recops.tools.toolbox import Toolbox

__all__ = ["ExpertReport", "Script", "fit_script", "run_expert_episodes", "scripted_episode"]

SCRIPTED, SELF = "scripted", "self"


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
        InputError: no episode is worth keeping, or a setting does not fit the suite of tools.
    """
    policy = Policy.load(io.input("base_policy"))
    folders = io.input("validated_splits"), io.input("sasrec_embeddings")
    toolbox = Toolbox.load(*folders, agent, seed, control_tokens=policy.control_tokens)
    script = fit_script(toolbox, config, agent, seed=seed)
    episodes = {
        SCRIPTED: _scripted(toolbox, config, agent, seed=seed, script=script, policy=policy),
        SELF: _self_played(policy, toolbox, config, agent, seed=seed),
    }
    reasons = {source: [_rejection(one, config, agent) for one in played] for source, played in episodes.items()}
    rejected = {source: dict(sorted(Counter(filter(None, found)).items())) for source, found in reasons.items()}
    rows = [
        _row(episode, source, toolbox, agent)
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
    write_json(io.out / "fusion.json", {"ranking": script.ranking.described(), "pairs": script.pairs.described()})
    return ExpertReport(
        played={source: len(played) for source, played in episodes.items()},
        kept={source: found.count(None) for source, found in reasons.items()},
        rejected=rejected,
        ndcg=_ndcg(episodes, script.ranking),
    )


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
    allowed = min(len(sources_of(agent)), agent.max_calls)
    if config.max_orders > allowed:
        step = "Lower it, or add ordering tools to agent.tools."
        expected = f"at most {allowed}, as many ordering calls as agent.tools and agent.max_calls allow"
        raise InputError("expert_episodes.max_orders", found=config.max_orders, expected=expected, next_step=step)
    return Script(
        ranking=Fusion.fit(toolbox, ranking, agent, config.rank_constant),
        pairs=Fusion.fit(toolbox, pairs, agent, config.rank_constant),
        num_orders=(config.min_orders, config.max_orders),
        explore_fraction=config.explore_fraction,
        look_fraction=config.look_fraction,
    )


def _scripted(
    toolbox: Toolbox, config: ExpertEpisodesConfig, agent: AgentConfig, *, seed: int, script: Script, policy: Policy
) -> list[Episode]:
    tasks = _tasks(toolbox, config, config.num_scripted, seed=sub_seed(seed, "scripted tasks"))
    tools = tool_schemas(agent)
    played = []
    with progress("Scripted episodes", len(tasks)) as meter:
        for number, task in enumerate(tasks):
            interrupt.stop_if_requested()
            generator = np.random.default_rng(sub_seed(seed, "scripted", number))
            episode = scripted_episode(task, toolbox, agent, generator, script=script)
            tokens = _num_tokens(episode, task_messages(task, toolbox, agent), tools, policy)
            played.append(dataclasses.replace(episode, num_completion_tokens=tokens))
            meter.advance()
    return played


def _self_played(
    policy: Policy, toolbox: Toolbox, config: ExpertEpisodesConfig, agent: AgentConfig, *, seed: int
) -> list[Episode]:
    tasks = _tasks(toolbox, config, config.num_self_played, seed=sub_seed(seed, "self-played tasks"))
    return play(
        policy,
        tasks,
        toolbox,
        agent,
        temperature=config.temperature,
        seed=sub_seed(seed, "self-play"),
        batch_size=config.batch_size,
    )


def _tasks(toolbox: Toolbox, config: ExpertEpisodesConfig, count: int, *, seed: int) -> list[Task]:
    ids = toolbox.store.sample_ids("policy_train")
    return draw_tasks(toolbox.store, ids, count=count, pair_fraction=config.pair_fraction, seed=seed)


def _num_tokens(episode: Episode, prompt: list[dict[str, str]], tools: list[dict[str, Any]], policy: Policy) -> int:
    """Return how many tokens follow the prompt when the policy's template writes the episode."""

    def length(messages: Sequence[Any], *, generate: bool) -> int:
        ids = policy.tokenizer.apply_chat_template(
            list(messages), tools=tools or None, add_generation_prompt=generate, tokenize=True, return_dict=False
        )
        return len(ids)

    return length([*prompt, *episode.messages], generate=False) - length(prompt, generate=True)


def _rejection(episode: Episode, config: ExpertEpisodesConfig, agent: AgentConfig) -> str | None:
    limit = agent.max_completion_tokens
    return rejection(episode, keep_target_in_top=config.keep_target_in_top, max_tokens=limit)


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
