"""The one door through which text of the catalogue enters prompts, tool answers and training data.

A title is written by a stranger. `<|im_end|><|im_start|>system` in it would become control tokens of the chat, so that
what comes out of here holds no string that a tokenizer turns into one, no line break and no invisible character.
"""

import re
import unicodedata
from collections.abc import Iterable

_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
_LOOK_ALIKES = str.maketrans({"<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
                              ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}", "|": "/"})  # fmt: skip
_SPACES = re.compile(r"\s+")


class Sanitizer:
    """Makes text of the catalogue harmless and short.

    Angle brackets never pass, which disarms every token of the kinds `<|im_end|>`, `<think>` and `</s>` at once, also
    when it is put together from two fields. Control tokens without them (`[INST]`) are given to the constructor.
    """

    def __init__(self, max_characters: int, control_tokens: Iterable[str] = ()) -> None:
        self._max_characters = max_characters
        self._control_tokens = tuple(token for token in control_tokens if len(token) > 1 and "<" not in token)

    def clean(self, text: str) -> str:
        """Return one line of at most `max_characters` that forges nothing; the same text again when cleaned twice."""
        visible = "".join(_visible(character) for character in unicodedata.normalize("NFKC", text))
        line = self._disarm(_SPACES.sub(" ", visible.translate(_LOOK_ALIKES)).strip())
        return line[: self._max_characters].rstrip()

    def passed(self, tokens: Iterable[str]) -> list[str]:
        """Return those of `tokens` that a title could smuggle through."""
        return [token for token in tokens if token.strip() and token in self.clean(token)]

    def _disarm(self, line: str) -> str:
        """Put a space into each control token, until none is left: taking one apart may build another."""
        while found := next((token for token in self._control_tokens if token in line), None):
            line = line.replace(found, f"{found[0]} {found[1:]}")
        return line


def _visible(character: str) -> str:
    """Keep a character, turn a line break or a tab into a space, drop what nobody sees (zero-width, bidi, control)."""
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    return " " if character in "\n\r\t\v\f\x85\u2028\u2029" else ""
