"""Which episodes are worth imitating: the filter by outcome, with a reason for each that is not."""

from recops.metrics import rank_of
from recops.records import Episode


def rejection(episode: Episode, *, keep_target_in_top: int, max_tokens: int) -> str | None:
    """Return why an episode teaches the wrong thing, or None where it is kept."""
    if episode.answer.error is not None:
        return str(episode.answer.error)
    if episode.num_completion_tokens > max_tokens:
        return "too_long"
    if not episode.calls:
        return "no_call"
    if episode.task.direction != "rank":
        return None if episode.answer.ranking[0] == episode.task.answer_item else "wrong_of_two"
    rank = rank_of(episode.task.sample.target, episode.answer.ranking)
    return None if rank < keep_target_in_top else "target_too_low"
