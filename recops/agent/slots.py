"""The loop of a policy in this process: every slot of the decoder is kept busy until every player is done."""

from collections import deque
from collections.abc import Sequence
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING

import torch
from torch import Tensor

from recops.agent.answer_constraint import AnswerConstraint
from recops.agent.chat import Chat
from recops.agent.decoder import Decoder
from recops.agent.player import Player, Rollout, end_turns, players_of
from recops.agent.policy import Sampling
from recops.agent.prompts import tool_schemas
from recops.agent.sampler import Sampler, sampler_of
from recops.config.agent import AgentConfig
from recops.records import Task
from recops.tools.toolbox import Toolbox

if TYPE_CHECKING:
    from recops.agent.local_policy import LocalPolicy

_READ_FRACTION = 0.25


def play_in_slots(
    policy: "LocalPolicy", tasks: Sequence[Task], toolbox: Toolbox, agent: AgentConfig, sampling: Sampling
) -> list[Rollout]:
    """Return one episode per task with its tokens, in the order of the tasks; the toolbox is prepared and checked.

    Raises:
        InputError: a prompt does not fit the model.
        RuntimeError: a tool failed by our mistake.
    """
    chat = Chat(policy.tokenizer, tool_schemas(agent))
    longest = policy.model.config.max_position_embeddings
    players = players_of(tasks, toolbox, agent, chat=chat, max_positions=longest)
    constraint = AnswerConstraint(policy.tokenizer, policy.stop_ids, agent) if sampling.constrain_answers else None
    sampler = sampler_of(sampling, constraint, max_tokens=agent.max_completion_tokens)
    training = policy.model.training
    policy.model.eval()
    try:
        # One context for all tokens: it keeps the weights that it has converted.
        with _autocast(policy.model.device, on=policy.autocast):
            _Loop(policy, players, chat, sampling.batch_size, sampler).run()
    finally:
        policy.model.train(training)
    if sampling.times is not None:
        sampling.times.update({player.number: player.times for player in players})
    return [player.rollout() for player in players]


class _Loop:
    """Keeps the slots of a decoder busy until every player is done."""

    def __init__(
        self, policy: "LocalPolicy", players: Sequence[Player], chat: Chat, batch_size: int, sampler: Sampler
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
        self._texts: dict[tuple[int, tuple[int, ...]], int] = {}

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
            player.begin()
            player.pending = player.prompt[self._num_prefix :]
            self._slots[slot] = player
        if free:
            self._decoder.start(free)
        return any(player is not None for player in self._slots)

    def _step(self, slots: list[int]) -> None:
        players = [self._player(slot) for slot in slots]
        logits = self._read(slots, players)
        ended = []
        for player, token in zip(players, self._sampler(logits, players), strict=True):
            player.take(token)
            if token in self._stop_ids or len(player.written) >= player.limit:
                player.truncated = token not in self._stop_ids
                ended.append(player)
        with _autocast(logits.device, on=False):  # tools answer as they do everywhere
            end_turns(ended, self._chat)
        for slot, player in zip(slots, players, strict=True):
            if player.done:
                self._slots[slot] = None

    def _read(self, slots: Sequence[int], players: Sequence[Player]) -> Tensor:
        """Return the logits after what is pending, (len(slots), vocabulary).

        Players who have read the same so far, and now read the same, are read once: those of a group share the prompt,
        and mostly the first calls and their answers.
        """
        keys = [(player.read, tuple(player.pending)) for player in players]
        first: dict[tuple[int, tuple[int, ...]], int] = {}
        source = [first.setdefault(key, place) for place, key in enumerate(keys)]
        readers = list(first.values())
        logits = self._decoder.feed([slots[place] for place in readers], [players[place].pending for place in readers])
        followers = [place for place in range(len(slots)) if source[place] != place]
        self._decoder.follow([slots[place] for place in followers], [slots[source[place]] for place in followers])
        for player, key in zip(players, keys, strict=True):
            player.read = self._texts.setdefault(key, len(self._texts) + 1)
        row = {place: number for number, place in enumerate(readers)}
        return logits[[row[place] for place in source]]

    def _player(self, slot: int) -> Player:
        player = self._slots[slot]
        assert player is not None
        return player


def _autocast(device: torch.device, *, on: bool) -> AbstractContextManager[object]:
    """Return a context in which passes compute in bfloat16, or in the format of the weights."""
    return torch.autocast(device.type, dtype=torch.bfloat16, enabled=on)


def _common_prefix(prompts: Sequence[list[int]]) -> list[int]:
    """Return what all prompts begin with, at least one token short of the shortest."""
    first, last = min(prompts), max(prompts)
    most = min(map(len, prompts)) - 1
    differs = (place for place in range(most) if first[place] != last[place])
    return first[: next(differs, most)]
