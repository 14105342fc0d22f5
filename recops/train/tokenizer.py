"""The embedded policy's tokenizer: byte-level BPE in which every line that episodes repeat is one token.

A model trained from scratch in minutes cannot afford long prompts. Text is split at line ends and around candidate
labels (` A`); the lines that rendered episodes repeat (tool schemas, calls, thoughts, categories) enter the vocabulary
whole, next to merges learned from the catalogue. `ignore_merges` looks a piece up before it merges bytes, so that no
vocabulary is spent on the steps between. Chat template and response parser are TRL's for Qwen3 Instruct 2507: TRL
knows templates by their exact text, and this one has no thinking block, which keeps turns short.
"""

import json
import re
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

from tokenizers import AddedToken, Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from recops.records import LABEL_ALPHABET

PAD, TURN_START, TURN_END = "<|endoftext|>", "<|im_start|>", "<|im_end|>"
CONTROL_TOKENS = (PAD, TURN_START, TURN_END)
MARKUP_TOKENS = ("<tool_call>", "</tool_call>", "<tool_response>", "</tool_response>", "<think>", "</think>")

_LINE = r"[^\n]*\n|[^\n]+"
_LABEL = r" [A-Z]{1,2}(?=( [A-Z]{1,2})*\n?\z| \|)"
_MARKUP = re.compile("|".join(map(re.escape, CONTROL_TOKENS + MARKUP_TOKENS)))
_WHOLE_LINES_FRACTION = 0.6
_MIN_LINE_COUNT = 8


def build_tokenizer(episodes: Iterable[str], catalogue: Iterable[str], vocabulary_size: int) -> Any:
    """Train the tokenizer; equal texts in equal order give equal bytes.

    Args:
        episodes: whole episodes as the chat template renders them; their frequent lines become tokens.
        catalogue: item texts, one per string; what is left of the vocabulary goes to merges learned from them.
        vocabulary_size: upper bound, control tokens and the 256 bytes included.

    Returns:
        A tokenizer with TRL's training template, ends of turn as EOS, and a response parser.
    """
    pieces = _frequent_pieces(episodes, limit=int(vocabulary_size * _WHOLE_LINES_FRACTION))
    labels = [f" {letter}" for letter in LABEL_ALPHABET]
    whole = list(dict.fromkeys([*map(_bytes, labels), *pieces]))
    num_reserved = len(whole) + len(CONTROL_TOKENS + MARKUP_TOKENS)
    tokenizer = _trained(catalogue, vocabulary_size - num_reserved)
    return _wrapped(_with_control_tokens(_with_whole_pieces(tokenizer, whole)))


def render(conversations: Iterable[list[dict[str, Any]]], tools: Sequence[dict[str, Any]]) -> list[str]:
    """Return each conversation as the training template writes it."""
    blank = _wrapped(_with_control_tokens(_trained((), 256)))
    return [
        str(blank.apply_chat_template(conversation, tools=list(tools) or None, tokenize=False))
        for conversation in conversations
    ]


def _wrapped(tokenizer: Tokenizer) -> Any:
    from trl.chat_template_utils import (
        add_response_schema,
        qwen3_instruct_2507_chat_template,
        qwen3_instruct_2507_training_chat_template,
    )

    wrapped: Any = PreTrainedTokenizerFast(  # type: ignore[no-untyped-call]
        tokenizer_object=tokenizer, eos_token=TURN_END, pad_token=PAD, clean_up_tokenization_spaces=False
    )
    wrapped.chat_template = qwen3_instruct_2507_chat_template
    add_response_schema(wrapped)
    wrapped.chat_template = qwen3_instruct_2507_training_chat_template
    return wrapped


def _pre_tokenizer() -> pre_tokenizers.PreTokenizer:
    return pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(Regex(_LINE), "isolated"),
            pre_tokenizers.Split(Regex(_LABEL), "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )


def _frequent_pieces(episodes: Iterable[str], limit: int) -> list[str]:
    """Return the pieces that episodes repeat most, spelled in the byte alphabet; ties in the order of their text."""
    pre_tokenizer = _pre_tokenizer()
    counts: Counter[str] = Counter()
    for episode in episodes:
        for part in _MARKUP.split(episode):
            counts.update(piece for piece, _ in pre_tokenizer.pre_tokenize_str(part))
    frequent = [piece for piece, count in counts.items() if count >= _MIN_LINE_COUNT and len(piece) > 1]
    return sorted(frequent, key=lambda piece: (-counts[piece], piece))[:limit]


def _bytes(text: str) -> str:
    """Spell a text in the byte alphabet, as one piece."""
    [(piece, _)] = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)
    return str(piece)


def _trained(catalogue: Iterable[str], size: int) -> Tokenizer:
    tokenizer = Tokenizer(models.BPE())
    tokenizer.pre_tokenizer = _pre_tokenizer()
    tokenizer.decoder = decoders.ByteLevel()
    alphabet = sorted(pre_tokenizers.ByteLevel.alphabet())
    trainer = trainers.BpeTrainer(vocab_size=max(size, 256), initial_alphabet=alphabet, show_progress=False)
    tokenizer.train_from_iterator(catalogue, trainer)
    return tokenizer


def _with_control_tokens(tokenizer: Tokenizer) -> Tokenizer:
    tokenizer.add_special_tokens([AddedToken(text, normalized=False, special=True) for text in CONTROL_TOKENS])
    tokenizer.add_tokens([AddedToken(text, normalized=False, special=False) for text in MARKUP_TOKENS])
    return tokenizer


def _with_whole_pieces(tokenizer: Tokenizer, pieces: Iterable[str]) -> Tokenizer:
    content: dict[str, Any] = json.loads(tokenizer.to_str())
    vocabulary: dict[str, int] = content["model"]["vocab"]
    for piece in pieces:
        vocabulary.setdefault(piece, len(vocabulary))
    content["model"]["ignore_merges"] = True
    return Tokenizer.from_str(json.dumps(content))
