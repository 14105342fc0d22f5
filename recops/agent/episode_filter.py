"""Which episodes are worth imitating: by outcome, by near-duplicates, by balance over tools; a reason for each other.

The filters come in this order, and each sees only what the ones before have kept.
"""

import json
from collections import Counter
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from recops.config.policy import ExpertEpisodesConfig
from recops.errors import InputError
from recops.metrics import rank_of
from recops.records import Episode

NEAR_DUPLICATE, UNBALANCED = "near_duplicate", "unbalanced_tools"
_WORDS_PER_SHINGLE = 3
_ROWS_AT_A_TIME = 512


def rejections(
    episodes: Sequence[Episode], config: ExpertEpisodesConfig, *, max_tokens: int, control_tokens: Sequence[str]
) -> list[str | None]:
    """Return for each episode why it is left out, or None where it is kept.

    Args:
        episodes: of all sources together; of two that are alike, the first stays.
        config: what is kept.
        max_tokens: an episode's most tokens after the prompt.
        control_tokens: of the policy that is to learn; what a message spells would be taken for the chat's own.

    Raises:
        InputError: the tools cannot be balanced as far as the recipe asks.
    """
    limits = {"keep_target_in_top": config.keep_target_in_top, "max_calls": config.keep_max_calls}
    reasons = [
        rejection(episode, **limits, max_tokens=max_tokens) or _forged(episode, control_tokens) for episode in episodes
    ]
    if config.keep_max_similarity is not None:
        kept = [place for place, reason in enumerate(reasons) if reason is None]
        texts = [written_text(episodes[place]) for place in kept]
        for place, repeats in zip(kept, near_duplicates(texts, config.keep_max_similarity), strict=True):
            reasons[place] = NEAR_DUPLICATE if repeats else None
    if config.keep_max_tool_set_fraction is not None:
        kept = [place for place, reason in enumerate(reasons) if reason is None]
        sets = [called_tools(episodes[place]) for place in kept]
        for place, is_over in zip(kept, over_represented(sets, config.keep_max_tool_set_fraction), strict=True):
            reasons[place] = UNBALANCED if is_over else None
    return reasons


def rejection(episode: Episode, *, keep_target_in_top: int, max_calls: int, max_tokens: int) -> str | None:
    """Return why an episode's outcome teaches the wrong thing, or None."""
    if episode.answer.error is not None:
        return str(episode.answer.error)
    if episode.num_completion_tokens > max_tokens:
        return "too_long"
    if max_calls and not episode.calls:
        return "no_call"
    if len(episode.calls) > max_calls:
        return "over_call_budget"
    if episode.task.direction != "rank":
        return None if episode.answer.ranking[0] == episode.task.answer_item else "wrong_of_two"
    rank = rank_of(episode.task.sample.target, episode.answer.ranking)
    return None if rank < keep_target_in_top else "target_too_low"


def _forged(episode: Episode, control_tokens: Sequence[str]) -> str | None:
    """Return a reason where a message spells a control token: a model elsewhere may write what it likes."""
    text = written_text(episode)
    return "control_token" if any(token in text for token in control_tokens) else None


def written_text(episode: Episode) -> str:
    """Return what followed the prompt, as words: what was thought, called, answered and read."""
    calls = [call.get("function", call) for message in episode.messages for call in message.get("tool_calls") or ()]
    said = [str(message.get("content") or "") for message in episode.messages]
    return " ".join([*said, *(json.dumps(call, sort_keys=True, ensure_ascii=False) for call in calls)])


def called_tools(episode: Episode) -> tuple[str, ...]:
    """Return the names of the tools that an episode called, each once, in alphabetical order."""
    return tuple(sorted({call.tool for call in episode.calls}))


def near_duplicates(texts: Sequence[str], similarity: float) -> NDArray[np.bool_]:
    """Return which texts are alike to one before them that stays: Jaccard similarity of their runs of three words.

    Args:
        texts: N texts; a text of fewer than three words is like no other.
        similarity: from which on two texts are alike, in (0, 1].
    """
    from sklearn.feature_extraction.text import CountVectorizer

    repeats_N = np.zeros(len(texts), dtype=np.bool_)
    sizes = (_WORDS_PER_SHINGLE, _WORDS_PER_SHINGLE)
    vectorizer = CountVectorizer(token_pattern=r"\S+", ngram_range=sizes, binary=True, lowercase=False, dtype=np.int32)
    try:
        shingles_NV = vectorizer.fit_transform(texts)
    except ValueError:  # an empty vocabulary: no text has three words
        return repeats_N
    sizes_N = np.asarray(shingles_NV.sum(axis=1)).ravel()
    for start in range(0, len(texts), _ROWS_AT_A_TIME):
        end = min(start + _ROWS_AT_A_TIME, len(texts))
        shared_RN = (shingles_NV[start:end] @ shingles_NV[:end].T).toarray()
        for row in range(start, end):
            shared = shared_RN[row - start, :row]
            union = sizes_N[row] + sizes_N[:row] - shared
            repeats_N[row] = bool((~repeats_N[:row] & (union > 0) & (shared >= similarity * union)).any())
    return repeats_N


def over_represented(kinds: Sequence[tuple[str, ...]], fraction: float) -> NDArray[np.bool_]:
    """Return which episodes to leave out, the last ones of a kind, so that no kind is more than `fraction` of the rest.

    As many stay as can.

    Raises:
        InputError: there are too few kinds.
    """
    counts = Counter(kinds)
    most = max(counts.values(), default=0)
    while most and most > fraction * sum(min(count, most) for count in counts.values()):
        most -= 1
    if kinds and not most:
        step = "Raise it, or raise expert_episodes.explore_fraction."
        expected = f"at least {1 / len(counts):.2f}: the kept episodes call {len(counts)} sets of tools"
        where = "expert_episodes.keep_max_tool_set_fraction"
        raise InputError(where, found=fraction, expected=expected, next_step=step)
    seen: Counter[tuple[str, ...]] = Counter()
    is_over = np.zeros(len(kinds), dtype=np.bool_)
    for place, kind in enumerate(kinds):
        seen[kind] += 1
        is_over[place] = seen[kind] > most
    return is_over
