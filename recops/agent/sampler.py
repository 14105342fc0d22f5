"""The next token of each player, from the model's logits. Shapes: R players, V tokens of the vocabulary."""

from collections.abc import Callable

import numpy as np
import torch
from torch import Tensor

from recops.agent.answer_constraint import AnswerConstraint
from recops.agent.player import Player
from recops.agent.policy import Sampling
from recops.seeds import sub_seed

Sampler = Callable[[Tensor, list[Player]], list[int]]


def sampler_of(sampling: Sampling, constraint: AnswerConstraint | None, *, max_tokens: int) -> Sampler:
    """Return greedy choice, or draws from the softmax at a temperature, of what the constraint allows."""
    choose: Sampler = _greedy if sampling.temperature == 0 else _draws(sampling, max_tokens)
    if constraint is None:
        return choose
    return lambda logits_RV, players: choose(constraint(logits_RV, players), players)


def _greedy(logits_RV: Tensor, _: list[Player]) -> list[int]:
    return [int(token) for token in logits_RV.argmax(dim=-1).tolist()]


def _draws(sampling: Sampling, max_tokens: int) -> Sampler:
    """Draw by inverse transform, each episode with its own random numbers: its neighbours do not change it."""
    uniforms: dict[int, list[float]] = {}

    def draw(logits_RV: Tensor, players: list[Player]) -> list[int]:
        for player in players:
            if player.number not in uniforms:
                generator = np.random.default_rng(sub_seed(sampling.seed, "episode", player.number))
                uniforms[player.number] = generator.random(max_tokens).tolist()
        points = [uniforms[player.number][len(player.written)] for player in players]
        cumulated_RV = torch.softmax(logits_RV / sampling.temperature, dim=-1).cumsum(dim=-1, dtype=torch.float64)
        points_R = torch.tensor(points, dtype=torch.float64, device=logits_RV.device) * cumulated_RV[:, -1]
        tokens = torch.searchsorted(cumulated_RV, points_R[:, None], right=True)
        return [int(token) for token in tokens.squeeze(-1).clamp(max=logits_RV.shape[-1] - 1).tolist()]

    return draw
