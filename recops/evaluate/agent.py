"""Plays policies on frozen samples.

Every policy plays the same samples greedily, through the same tools. An invalid answer counts as an absent target:
leaving those episodes out would reward a policy for failing on the hard ones.
"""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from numpy.typing import NDArray

from recops.agent.backends import load_policy
from recops.agent.rollout import play
from recops.agent.times import Times
from recops.config.agent import AgentConfig
from recops.config.endpoint import EndpointConfig
from recops.data.samples import SampleStore
from recops.evaluate.episode_table import episodes_from_frame, episodes_to_frame
from recops.evaluate.episode_times import write_times
from recops.records import Episode, SliceName, Task
from recops.retrieval.evidence import Evidence
from recops.seeds import sub_seed
from recops.stage import StageName
from recops.tools.toolbox import Toolbox

AGENT_STAGES: tuple[StageName, ...] = ("base_policy", "sft_checkpoint", "grpo_model", "ppr_model")
"""Stages whose artefact is a policy, in the order of training."""

GREEDY = 0.0

OWN_CANDIDATES = "candidates"
"""Kind of the candidates that agents are trained on."""


def chosen_samples(store: SampleStore, slice_name: SliceName, max_samples: int, seed: int) -> NDArray[np.int32]:
    """Return the samples that every system is measured on: all of the slice, or a seeded subset, ascending."""
    sample_ids = store.sample_ids(slice_name)
    if len(sample_ids) <= max_samples:
        return np.sort(sample_ids)
    generator = np.random.default_rng(sub_seed(seed, "evaluation", slice_name))
    return np.sort(generator.choice(sample_ids, size=max_samples, replace=False))


def ranking_tasks(
    store: SampleStore, sample_ids: NDArray[np.int32], candidate_kind: str = OWN_CANDIDATES
) -> list[Task]:
    """Return one list-wise task per sample, candidates of a kind in their frozen order."""
    samples = [store.sample(int(sample_id), candidate_kind) for sample_id in sample_ids]
    return [Task(sample, sample.candidates, "rank") for sample in samples]


def player_of(
    source: Path | EndpointConfig,
    evidence: Evidence,
    agent: AgentConfig,
    *,
    seed: int,
    batch_size: int,
    constrain_answers: bool,
    times: Times | None = None,
) -> Callable[[Sequence[Task]], list[Episode]]:
    """Open a policy and return what plays tasks with it, greedily: one episode each, in their order.

    `times` takes when each turn of the tasks played last was written.
    """
    policy = load_policy(source, agent.engine)
    # A toolbox per policy, for each tokenizer has control tokens of its own that no item text may spell.
    toolbox = Toolbox(evidence, agent, control_tokens=policy.control_tokens, count_tokens=policy.count_tokens)

    def played(tasks: Sequence[Task]) -> list[Episode]:
        return play(
            policy,
            tasks,
            toolbox,
            agent,
            temperature=GREEDY,
            seed=seed,
            batch_size=batch_size,
            constrain_answers=constrain_answers,
            times=times,
        )

    return played


def kept_or_played(
    kept: Path,
    source: Path | EndpointConfig,
    tasks: Sequence[Task],
    evidence: Evidence,
    agent: AgentConfig,
    *,
    seed: int,
    batch_size: int,
    constrain_answers: bool,
) -> list[Episode]:
    """Return the episodes that an interrupted evaluation kept in the file `kept`, or play and keep them.

    The times of their turns are kept in `times_file(kept)`.
    """
    if not kept.is_file():
        times: Times = {}
        settings: Any = {"seed": seed, "batch_size": batch_size, "constrain_answers": constrain_answers}
        episodes = player_of(source, evidence, agent, times=times, **settings)(tasks)
        write_times(times_file(kept), [times[place] for place in range(len(episodes))])
        unfinished = kept.with_suffix(".partial")
        episodes_to_frame(kept.stem, episodes).write_parquet(unfinished)
        unfinished.rename(kept)
    # Read back in both cases: a resumed report must not differ from an uninterrupted one in anything.
    return episodes_from_frame(pl.read_parquet(kept), tasks)


def times_file(kept: Path) -> Path:
    """Return the file of the times of the episodes that are kept in the file `kept`."""
    return kept.with_suffix(".times.json")
