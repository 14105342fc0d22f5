"""What a base policy can do, measured on held-out synthetic episodes: copy one order, merge several, judge a pair."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import torch
from torch import Tensor

from recops.records import Direction, label
from recops.seeds import sub_seed
from recops.train.conversations import IGNORED, encode_conversations, padded
from recops.train.synthetic import SyntheticEpisodes

_EPISODES = 64


@dataclass(frozen=True)
class Skill:
    """Shares in [0, 1], the right prefix given.

    Attributes:
        copy_exact: one view: answers with every label right, which is when greedy decoding writes the whole copy.
        merge_two: two views: labels of the answer that are the fusion's.
        merge_three: three views, likewise.
        pair: pairs with one to three views: right answers, chance .5.
    """

    copy_exact: float
    merge_two: float
    merge_three: float
    pair: float


def measure_skill(
    model: Any,
    tokenizer: Any,
    source: SyntheticEpisodes,
    tools: Sequence[dict[str, Any]],
    *,
    candidates: int,
    seed: int,
) -> Skill:
    """Return the skill of a model on episodes that no training step draws."""

    def right(views: int, direction: Direction) -> Tensor:
        generator = np.random.default_rng(sub_seed(seed, "skill", views, direction))
        count = candidates if direction == "rank" else 2
        episodes = [
            source.draw(generator, num_candidates=count, num_views=views, direction=direction, history=3)
            for _ in range(_EPISODES)
        ]
        return answers_right(model, tokenizer, episodes, tools)

    pairs = torch.cat([right(views, direction) for views in (1, 2, 3) for direction in ("more", "less")])
    return Skill(
        copy_exact=_mean(right(1, "rank").all(dim=1)),
        merge_two=_mean(right(2, "rank")),
        merge_three=_mean(right(3, "rank")),
        pair=_mean(pairs),
    )


@torch.no_grad()
def answers_right(
    model: Any, tokenizer: Any, conversations: Sequence[list[dict[str, Any]]], tools: Sequence[dict[str, Any]]
) -> Tensor:
    """Return which labels of the final answers are the model's first choice, bool (N, answer length)."""
    rows = encode_conversations(tokenizer, conversations, tools)
    ids_BL = padded([ids for ids, _ in rows], tokenizer.pad_token_id)
    targets_BL = padded([labels for _, labels in rows], IGNORED)[:, 1:]
    hidden_BLD = model.model(input_ids=ids_BL).last_hidden_state[:, :-1]
    is_label_BL = torch.isin(targets_BL, torch.tensor(_label_ids(tokenizer)))
    correct = model.lm_head(hidden_BLD[is_label_BL]).argmax(dim=-1) == targets_BL[is_label_BL]
    right_NK: Tensor = correct.view(len(rows), -1)
    return right_NK


def _label_ids(tokenizer: Any) -> list[int]:
    """Return the token of each label A to Z as it stands in a list, after a space."""
    return [tokenizer(f" {label(place)}", add_special_tokens=False)["input_ids"][0] for place in range(26)]


def _mean(values: Tensor) -> float:
    return round(float(values.double().mean()), 4)
