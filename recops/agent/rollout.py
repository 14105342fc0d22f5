"""Plays many tasks at once with a policy: the loop of mining, self-play, evaluation and use.

It gives the episodes that TRL's own tool loop gives (a test plays both), several times faster: keys and values stay
between turns, a slot that becomes free takes the next task, and what all prompts share is computed once.
"""

from collections import deque
from collections.abc import Callable, Sequence

import numpy as np
import torch
from torch import Tensor

from recops.agent.chat import Chat
from recops.agent.decoder import Decoder
from recops.agent.environment import environment_class
from recops.agent.player import Player, Rollout
from recops.agent.policy import Policy
from recops.agent.prompts import task_messages, tool_schemas
from recops.config.agent import AgentConfig
from recops.errors import InputError
from recops.records import Episode, Task
from recops.seeds import sub_seed
from recops.tools.toolbox import Toolbox

_READ_FRACTION = 0.25

Sampler = Callable[[Tensor, list[Player]], list[int]]


def play(
    policy: Policy,
    tasks: Sequence[Task],
    toolbox: Toolbox,
    agent: AgentConfig,
    *,
    temperature: float,
    seed: int,
    batch_size: int,
) -> list[Episode]:
    """Return one episode per task, in the order of the tasks; arguments and errors as `rollouts`."""
    played = rollouts(policy, tasks, toolbox, agent, temperature=temperature, seed=seed, batch_size=batch_size)
    return [rollout.episode for rollout in played]


def rollouts(
    policy: Policy,
    tasks: Sequence[Task],
    toolbox: Toolbox,
    agent: AgentConfig,
    *,
    temperature: float,
    seed: int,
    batch_size: int,
) -> list[Rollout]:
    """Return one episode per task with its tokens, in the order of the tasks.

    Args:
        policy: plays; a model in training mode is put back into it.
        tasks: what is asked; a task given twice is played twice, with other random numbers.
        toolbox: answers the calls.
        agent: tools, prompts, limits and rewards.
        temperature: of sampling; 0 is greedy.
        seed: of sampling. Equal seeds give equal episodes whatever the batch size, up to rounding of the model.
        batch_size: how many episodes run at a time.

    Raises:
        InputError: an item's text could spell a control token of the policy's tokenizer.
        RuntimeError: a tool failed by our mistake.
    """
    if not tasks:
        return []
    _check_control_tokens(policy, toolbox)
    toolbox.evidence.prepare(sorted({task.sample.sample_id for task in tasks if task.sample.sample_id >= 0}))
    chat = Chat(policy.tokenizer, tool_schemas(agent))
    players = _players(policy, tasks, toolbox, agent, chat=chat)
    training = policy.model.training
    policy.model.eval()
    try:
        _Loop(policy, players, chat, batch_size, _sampler(temperature, seed, agent.max_completion_tokens)).run()
    finally:
        policy.model.train(training)
    return [player.rollout() for player in players]


class _Loop:
    """Keeps the slots of a decoder busy until every player is done."""

    def __init__(
        self, policy: Policy, players: Sequence[Player], chat: Chat, batch_size: int, sampler: Sampler
    ) -> None:
        self._stop_ids, self._chat, self._sampler = policy.stop_ids, chat, sampler
        self._queue = deque(player for player in players if not player.done)
        num_slots = max(1, min(batch_size, len(self._queue)))
        num_positions = max(len(player.prompt) + max(player.limit, 0) for player in players)
        self._decoder = Decoder(policy.model, num_slots, num_positions)
        self._slots: list[Player | None] = [None] * num_slots
        prefix = _common_prefix([player.prompt for player in players])
        self._decoder.keep_prefix(prefix)
        self._num_prefix = len(prefix)

    def run(self) -> None:
        """Play on; most slots write one token at a time, those that have much to read do so together."""
        while self._fill():
            active = [slot for slot, player in enumerate(self._slots) if player is not None]
            reading = [slot for slot in active if len(self._player(slot).pending) > 1]
            writing = [slot for slot in active if len(self._player(slot).pending) == 1]
            self._step(reading if not writing or len(reading) >= _READ_FRACTION * len(active) else writing)

    def _fill(self) -> bool:
        """Give free slots to waiting players; return whether anyone plays."""
        free = [slot for slot, player in enumerate(self._slots) if player is None][: len(self._queue)]
        for slot in free:
            player = self._queue.popleft()
            player.pending = player.prompt[self._num_prefix :]
            self._slots[slot] = player
        if free:
            self._decoder.start(free)
        return any(player is not None for player in self._slots)

    def _step(self, slots: list[int]) -> None:
        players = [self._player(slot) for slot in slots]
        logits = self._decoder.feed(slots, [player.pending for player in players])
        ended = []
        for player, token in zip(players, self._sampler(logits, players), strict=True):
            player.take(token)
            if token in self._stop_ids or len(player.written) >= player.limit:
                player.truncated = token not in self._stop_ids
                ended.append(player)
        self._end_turns(ended)
        for slot, player in zip(slots, players, strict=True):
            if player.done:
                self._slots[slot] = None

    def _end_turns(self, players: list[Player]) -> None:
        turns = []
        for player in players:
            answers = player.close_turn(self._chat.parse(*player.turn()))
            turns += [(player, answers)] if answers else []
        tokens = self._chat.tool_turns([answers for _, answers in turns])
        for (player, answers), ids in zip(turns, tokens, strict=True):
            player.open_turn(answers, ids)

    def _player(self, slot: int) -> Player:
        player = self._slots[slot]
        assert player is not None
        return player


def _players(
    policy: Policy, tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig, *, chat: Chat
) -> list[Player]:
    prompts = chat.prompts([task_messages(task, toolbox, agent) for task in tasks])
    environment = environment_class(toolbox, agent)
    longest = policy.model.config.max_position_embeddings
    players = []
    for number, (task, prompt) in enumerate(zip(tasks, prompts, strict=True)):
        played = environment()
        # Not `reset`, which looks the sample up: a sample with a negative id is in no store.
        played.task = task
        players.append(Player(number, played, prompt, min(agent.max_completion_tokens, longest - len(prompt))))
    return players


def _sampler(temperature: float, seed: int, max_tokens: int) -> Sampler:
    """Draw by inverse transform, each episode with its own random numbers: its neighbours do not change it."""
    if temperature == 0:
        return lambda logits_RV, _: [int(token) for token in logits_RV.argmax(dim=-1).tolist()]
    uniforms: dict[int, list[float]] = {}

    def draw(logits_RV: Tensor, players: list[Player]) -> list[int]:
        for player in players:
            if player.number not in uniforms:
                generator = np.random.default_rng(sub_seed(seed, "episode", player.number))
                uniforms[player.number] = generator.random(max_tokens).tolist()
        points = [uniforms[player.number][len(player.written)] for player in players]
        cumulated_RV = torch.softmax(logits_RV / temperature, dim=-1).cumsum(dim=-1, dtype=torch.float64)
        points_R = torch.tensor(points, dtype=torch.float64, device=logits_RV.device) * cumulated_RV[:, -1]
        tokens = torch.searchsorted(cumulated_RV, points_R[:, None], right=True)
        return [int(token) for token in tokens.squeeze(-1).clamp(max=logits_RV.shape[-1] - 1).tolist()]

    return draw


def _common_prefix(prompts: Sequence[list[int]]) -> list[int]:
    """Return what all prompts begin with, at least one token short of the shortest."""
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    differs = (place for place in range(most) if first[place] != last[place])
    return first[: next(differs, most)]


def _check_control_tokens(policy: Policy, toolbox: Toolbox) -> None:
    passed = toolbox.sanitizer.passed(policy.control_tokens)
    if passed:
        step = "Load the toolbox with control_tokens=policy.control_tokens."
        raise InputError("toolbox", found=f"{', '.join(passed)} may pass", expected="no control token", next_step=step)
