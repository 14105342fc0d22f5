"""A small real data set behind real tools, and a tiny policy that has learned to call them."""

import dataclasses
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from transformers import Qwen3Config, Qwen3ForCausalLM

from recops.agent.environment import environment_class
from recops.agent.local_policy import LocalPolicy
from recops.agent.prompts import call_message, tool_message, tool_schemas
from recops.config.agent import AgentConfig, LastItemsConfig, MergeConfig, RewardConfig
from recops.records import Direction, Episode, Task
from recops.tools.toolbox import TOOLS, Toolbox
from recops.train.conversations import IGNORED, encode_conversations, padded, supervised_losses
from recops.train.synthetic import SyntheticEpisodes
from recops.train.tokenizer import build_tokenizer, render
from tests.recops.evaluate.small_pipeline import NUM_CANDIDATES, NUM_ITEMS, write_sasrec, write_splits

AGENT = AgentConfig(
    engine="transformers",
    loop="react",
    tools=tuple(TOOLS),
    max_calls=4,
    num_ranked=4,
    history_length=5,
    memory=LastItemsConfig(kind="last_items"),
    history_fields=("category",),
    candidate_fields=(),
    tool_fields=("category", "price"),
    profile_parts=("categories", "stores", "price", "rating", "span"),
    merge=MergeConfig(rank_constant=1.0, lead_factor=1.5),
    popularity_window_days=30,
    max_title_characters=80,
    max_completion_tokens=96,
    reward=RewardConfig(ndcg=1.0, absent=-0.5, invalid=-1.0, tool_bonus=0.1, call_cost=0.0, own={}),
)
WEIGHTS = AGENT.reward


def changed(agent: AgentConfig = AGENT, **values: Any) -> AgentConfig:
    return agent.model_copy(update=values)


def write_world(root: Path) -> tuple[Path, Path]:
    """Write the folders of `validated_splits` and `sasrec_embeddings`."""
    return write_splits(root / "splits"), write_sasrec(root / "sasrec")


def load_toolbox(folders: tuple[Path, Path], agent: AgentConfig = AGENT) -> Toolbox:
    return Toolbox.load(*folders, agent, seed=3)


def all_tasks(toolbox: Toolbox, direction: Direction = "rank") -> list[Task]:
    """Every sample as a task; for pairs the target and one other candidate, the target at either side."""
    ids = np.concatenate([toolbox.store.sample_ids(name) for name in ("policy_train", "valid", "test")]).tolist()
    samples = [toolbox.store.sample(sample_id) for sample_id in ids]
    if direction == "rank":
        return [Task(sample, sample.candidates, direction) for sample in samples]
    others = [next(item for item in sample.candidates if item != sample.target) for sample in samples]
    pairs = [(sample.target, other)[:: 1 if place % 2 else -1] for place, (sample, other) in enumerate(
        zip(samples, others, strict=True))]  # fmt: skip
    return [Task(sample, pair, direction) for sample, pair in zip(samples, pairs, strict=True)]


def alike(task: Task, **values: Any) -> Task:
    """Return the task with another sample: some fields replaced."""
    return dataclasses.replace(task, sample=dataclasses.replace(task.sample, **values))


def play_script(
    task: Task, toolbox: Toolbox, answer: str, *, agent: AgentConfig = AGENT,
    calls: Sequence[tuple[str, dict[str, Any]]] = (),
) -> Episode:  # fmt: skip
    """Play fixed calls and a fixed final message through the real environment."""
    environment = environment_class(toolbox, agent)()
    environment.reset(sample_id=task.sample.sample_id, candidates=list(task.candidates), direction=task.direction)
    messages: list[dict[str, Any]] = []
    for name, arguments in calls:
        text = getattr(environment, name)(**arguments)
        messages += [call_message(name, arguments), tool_message(name, text)]
    messages.append({"role": "assistant", "content": answer})
    return environment.finish(messages, truncated=False, num_completion_tokens=1)


def tiny_tokenizer(toolbox: Toolbox, agent: AgentConfig = AGENT) -> tuple[Any, SyntheticEpisodes]:
    source = SyntheticEpisodes(toolbox.item_text, NUM_ITEMS, agent)
    generator = np.random.default_rng(0)
    episodes = [_draw(source, generator) for _ in range(200)]
    return build_tokenizer(render(episodes, tool_schemas(agent)), ["red cable", "blue mouse"], 1024), source


def tiny_policy(toolbox: Toolbox, agent: AgentConfig = AGENT, *, steps: int = 60) -> LocalPolicy:
    """Train a policy of 60 thousand parameters just long enough to call tools and to answer, often wrongly."""
    tokenizer, source = tiny_tokenizer(toolbox, agent)
    torch.manual_seed(0)
    model = Qwen3ForCausalLM(
        Qwen3Config(
            vocab_size=len(tokenizer), hidden_size=32, intermediate_size=64, num_hidden_layers=2,
            num_attention_heads=2, num_key_value_heads=1, head_dim=16, max_position_embeddings=1024,
            tie_word_embeddings=True, bos_token_id=None, eos_token_id=tokenizer.eos_token_id,
            pad_token_id=tokenizer.pad_token_id, attn_implementation="sdpa", dtype="float32",
        )
    )  # fmt: skip
    optimizer = torch.optim.AdamW(model.parameters(), lr=1e-2)
    generator = np.random.default_rng(1)
    for _ in range(steps):
        rows = encode_conversations(tokenizer, [_draw(source, generator) for _ in range(16)], tool_schemas(agent))
        loss = supervised_losses(
            model, padded([ids for ids, _ in rows], 0), padded([one for _, one in rows], IGNORED)
        ).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return LocalPolicy(model.eval(), tokenizer)


def _draw(source: SyntheticEpisodes, generator: np.random.Generator) -> list[dict[str, Any]]:
    pair = generator.random() < 0.3
    return source.draw(
        generator,
        num_candidates=2 if pair else NUM_CANDIDATES,
        num_views=int(generator.integers(1, 4)),
        direction="more" if pair else "rank",
        history=2,
    )
