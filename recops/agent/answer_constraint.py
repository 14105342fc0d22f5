"""Answers that can only become valid lists: which tokens may follow once a turn has begun its line `Answer:`.

It is a logits processor of our own decoder. It says nothing before the answer begins, so that an episode may still be
invalid: without an answer, with a wrong call, or out of tokens. Labels are the candidates' (`A`, `B`), each written
with a space before it, in the tokens that the tokenizer gives to it there.
"""

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from recops.agent.answer import PREFIX, num_expected
from recops.agent.player import Player
from recops.config.agent import AgentConfig
from recops.records import label

Tokens = tuple[int, ...]
_THINKING, _THOUGHT = "<think>", "</think>"


class AnswerConstraint:
    """Masks the logits of players that write their answer."""

    def __init__(self, tokenizer: Any, stop_ids: frozenset[int], agent: AgentConfig) -> None:
        self._tokenizer, self._stop_ids, self._agent = tokenizer, stop_ids, agent
        self._ends_prefix = {token for text, token in tokenizer.get_vocab().items() if PREFIX[-1] in text}
        self._labels: dict[int, tuple[Tokens, ...]] = {}
        self._begun: dict[int, int] = {}

    def __call__(self, logits_RV: Tensor, players: Sequence[Player]) -> Tensor:
        """Return the logits, those of tokens that would make an answer invalid as minus infinity."""
        for row, player in enumerate(players):
            allowed = self.allowed(player)
            if allowed is not None:
                masked_V = torch.full_like(logits_RV[row], -torch.inf)
                masked_V[allowed] = logits_RV[row, allowed]
                logits_RV[row] = masked_V
        return logits_RV

    def allowed(self, player: Player) -> list[int] | None:
        """Return the tokens that may follow what a player has written, ascending; None where all may."""
        start = self._begun.get(player.number, -1)
        if start <= player.turn_start:
            if not self._begins(player):
                return None
            start = self._begun[player.number] = len(player.written)
        task = player.environment.task
        labels = self._labels_of(len(task.candidates))
        return self._following(player.written[start:], labels, num_expected(task, self._agent))

    def _begins(self, player: Player) -> bool:
        """Whether the running turn ends with a line that is `Answer:`, and is not inside a thought."""
        if not player.written or player.written[-1] not in self._ends_prefix:
            return False
        text = str(self._tokenizer.decode(player.turn()[0]))
        thinks = _THINKING in text.rpartition(_THOUGHT)[2]
        # Lines as the parser of answers tells them apart: a separator of records ends one too.
        return f"{text}|".splitlines()[-1] == f"{PREFIX}|" and not thinks

    def _labels_of(self, num_candidates: int) -> tuple[Tokens, ...]:
        if num_candidates not in self._labels:
            texts = [f" {label(place)}" for place in range(num_candidates)]
            ids = self._tokenizer(texts, add_special_tokens=False)["input_ids"]
            self._labels[num_candidates] = tuple(tuple(tokens) for tokens in ids)
        return self._labels[num_candidates]

    def _following(self, written: Sequence[int], labels: Sequence[Tokens], wanted: int) -> list[int]:
        """Return what may follow `written`, a prefix of a list of `wanted` different labels."""
        unused, partial = list(labels), Tokens()
        for token in written:
            longer = (*partial, token)
            if not any(one[: len(longer)] == longer for one in unused):
                unused.remove(partial)
                longer = (token,)
            partial = longer
        depth = len(partial)
        following = {one[depth] for one in unused if len(one) > depth and one[:depth] == partial}
        if partial in unused:
            rest = [one for one in unused if one != partial]
            following |= self._stop_ids if len(labels) - len(rest) == wanted else {one[0] for one in rest}
        return sorted(following)
