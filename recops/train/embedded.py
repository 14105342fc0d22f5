"""`base_policy`: a small model trained from scratch on synthetic episodes, or a pretrained one, pinned and checked.

The embedded policy has no knowledge of the world. It learns here the grammar of episodes, to copy an order that a tool
gave, and to merge several. Bare drills come first, then whole episodes; the first drills only copy: the attention
pattern that all else is built on forms there. docs/experiments.md says what was tried.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
import polars as pl

from recops.agent.local_policy import count_tokens_of
from recops.agent.memory import CountTokens
from recops.agent.prompts import tool_schemas
from recops.config.agent import AgentConfig
from recops.config.policy import BasePolicyConfig, EmbeddedPolicyConfig, PretrainedPolicyConfig
from recops.errors import InputError
from recops.records import Direction
from recops.seeds import sub_seed
from recops.stage_io import StageIO
from recops.tools.item_text import ItemText
from recops.tools.sanitize import Sanitizer
from recops.tools.toolbox import num_bytes
from recops.train.callbacks import write_curve
from recops.train.from_scratch import num_steps, train_from_scratch
from recops.train.lesson import NUM_CANDIDATES, Lesson
from recops.train.models import build_model, build_tokenizer, num_trainable, save_policy
from recops.train.pretrained import import_pretrained
from recops.train.skill import Skill, measure_skill
from recops.train.synthetic import SyntheticEpisodes
from recops.train.tokenizer import CONTROL_TOKENS, MARKUP_TOKENS, render

_TOKENIZER_EPISODES = 2000


@dataclass(frozen=True)
class BasePolicyReport:
    """Where the policy came from and, for the embedded one, what it can do; 0 where it was not trained here."""

    kind: str
    model: str
    revision: str
    adapter: str
    parameters: int
    vocabulary: int
    steps: int
    loss_first: float
    loss_last: float
    skill: Skill


def run_base_policy(io: StageIO, config: BasePolicyConfig, *, seed: int, agent: AgentConfig) -> BasePolicyReport:
    """Write `base_policy`: train the embedded policy, or fetch, pin and check a pretrained one.

    Raises:
        InputError: a pretrained model lacks weights or a chat template, or a tool of the suite does not exist.
        FloatingPointError: the loss or the weights are not finite.
    """
    items = pl.read_parquet(io.input("raw_data") / "items.parquet")
    if config.kind == "pretrained":
        return _imported(io, config, agent)
    source = _source(items, agent)
    tools = tool_schemas(agent)
    tokenizer = _tokenizer(source, items, tools, config, seed=seed)
    source = _source(items, agent, partial(count_tokens_of, tokenizer))
    model = build_model(config, tokenizer, sub_seed(seed, "weights"))
    lesson = Lesson(source, tokenizer, tools, config, agent.merge, seed)
    history = train_from_scratch(io, model, lesson, config)
    skill = measure_skill(model, tokenizer, source, tools, candidates=NUM_CANDIDATES, seed=seed)
    save_policy(model, tokenizer, io.out, max_new_tokens=agent.max_completion_tokens)
    write_curve(history, io.out)
    return BasePolicyReport(
        kind="embedded",
        model="",
        revision="",
        adapter="",
        parameters=num_trainable(model),
        vocabulary=len(tokenizer),
        steps=num_steps(config),
        loss_first=float(history[0]["loss"]),
        loss_last=float(history[-1]["loss"]),
        skill=skill,
    )


def _source(items: pl.DataFrame, agent: AgentConfig, count_tokens: CountTokens = num_bytes) -> SyntheticEpisodes:
    if not len(items):
        raise InputError("items.parquet", found="no item", expected="at least one", next_step="Check raw_data.")
    text = ItemText(items, Sanitizer(agent.max_title_characters, CONTROL_TOKENS + MARKUP_TOKENS))
    return SyntheticEpisodes(text, len(items), agent, count_tokens=count_tokens)


def _tokenizer(
    source: SyntheticEpisodes,
    items: pl.DataFrame,
    tools: Sequence[dict[str, Any]],
    config: EmbeddedPolicyConfig,
    *,
    seed: int,
) -> Any:
    """Train the tokenizer on episodes of every kind and on the catalogue's titles."""
    generator = np.random.default_rng(sub_seed(seed, "tokenizer"))
    directions: tuple[Direction, ...] = ("rank", "rank", "more", "less")
    episodes = [
        source.draw(
            generator,
            num_candidates=NUM_CANDIDATES if direction == "rank" else 2,
            num_views=2,
            direction=direction,
            history=10,
        )
        for _ in range(_TOKENIZER_EPISODES // len(directions))
        for direction in directions
    ]
    return build_tokenizer(render(episodes, tools), items["title"].drop_nulls().to_list(), config.vocabulary_size)


def _imported(io: StageIO, config: PretrainedPolicyConfig, agent: AgentConfig) -> BasePolicyReport:
    imported = import_pretrained(config, io.out, max_new_tokens=agent.max_completion_tokens)
    return BasePolicyReport(
        kind="pretrained",
        model=config.model,
        revision=imported.revision,
        adapter=imported.adapter,
        parameters=imported.parameters,
        vocabulary=imported.vocabulary,
        steps=0,
        loss_first=0.0,
        loss_last=0.0,
        skill=Skill(0.0, 0.0, 0.0, 0.0),
    )
