"""The loop of engines that write whole turns: every running episode gets its next turn, then all calls are made."""

from collections.abc import Callable, Sequence

from recops.agent.chat import Chat
from recops.agent.player import Player, Rollout, end_turns

Writer = Callable[[Sequence[Player]], Sequence[Sequence[int]]]
"""Returns what the model writes for each player: at least one token, at most `limit - len(written)`, up to a stop."""


def play_in_lockstep(players: Sequence[Player], chat: Chat, write: Writer, stop_ids: frozenset[int]) -> list[Rollout]:
    """Return one episode per player with its tokens, in the order of the players."""
    active = [player for player in players if not player.done]
    for player in active:
        player.begin()
    while active:
        for player, tokens in zip(active, write(active), strict=True):
            for token in tokens:
                player.take(token)
            player.truncated = tokens[-1] not in stop_ids
        end_turns(active, chat)
        active = [player for player in active if not player.done]
    return [player.rollout() for player in players]
