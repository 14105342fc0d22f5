"""The one door through which text of the catalogue enters prompts, tool answers, training data and pages.

A title is written by a stranger. `<|im_end|><|im_start|>system` in it would become control tokens of the chat, so that
what comes out of here holds no string that a tokenizer turns into one, no line break and no invisible character. Nor
does it speak the agent's own grammar: `Order: C A B` is how tools answer, and a small model copies what it reads.
"""

import re
import unicodedata
from collections.abc import Iterable

_INVISIBLE = {"Cc", "Cf", "Co", "Cs", "Zl", "Zp"}
_IGNORABLE = re.compile(
    "[\u034f\u115f\u1160\u17b4\u17b5\u180b-\u180f\u3164\ufe00-\ufe0f\uffa0\ufff0-\ufff8\U000e0000-\U000e0fff]"
)
"""What fonts show as nothing though its category says letter or mark (Unicode: Default_Ignorable_Code_Point)."""
_LOOK_ALIKES = {"<": "\N{SINGLE LEFT-POINTING ANGLE QUOTATION MARK}",
                ">": "\N{SINGLE RIGHT-POINTING ANGLE QUOTATION MARK}", "|": "/"}  # fmt: skip
_BRACKETS = {"[": "(", "]": ")", "{": "(", "}": ")"}
_SPACES = re.compile(r"\s+")
_LABELS = re.compile(r"(?<!\S)[A-Z]{1,2}(?: [A-Z]{1,2}){2,}(?!\S)")
"""Three labels of candidates and more, one after the other: an order."""
_OPENING = re.compile(r"^(?:Answer|Order|Unknown|Candidates|History)(?=\s*:|$)")
"""What lines of ours begin with; a tool may put the colon behind it."""
_BREAK = "\N{MIDDLE DOT}"
_MAX_PASSES = 8


class Sanitizer:
    """Makes text of the catalogue harmless and short.

    Angle brackets and bars never pass, which disarms every token of the kinds `<|im_end|>`, `<think>` and `</s>` at
    once, also when it is put together from two fields. Of the tokens given to the constructor, those in other brackets
    (`[INST]`) take these brackets from every text for the same reason; those without any are broken where they stand.
    `may_order` is for lines of a tool, which may begin with `Order:` and list labels, as texts of items may not.
    """

    def __init__(self, max_characters: int, control_tokens: Iterable[str] = (), *, may_order: bool = False) -> None:
        self._max_characters, self._may_order = max_characters, may_order
        others = [token for token in control_tokens if token.strip() and not _LOOK_ALIKES.keys() & set(token)]
        alone = {token for token in others if len(token) == 1 and not token.isalnum()}
        banned = alone | {character for token in others for character in token if character in _BRACKETS}
        self._look_alikes = str.maketrans({**_LOOK_ALIKES, **{one: _BRACKETS.get(one, " ") for one in banned}})
        words = [token for token in others if len(token) > 1 and not banned & set(token)]
        self._words = re.compile("|".join(map(re.escape, sorted(words, key=len, reverse=True)))) if words else None

    def clean(self, text: str) -> str:
        """Return one line of at most `max_characters` that forges nothing; the same text again when cleaned twice.

        A text that cannot be made so (a word that is a token, whose parts are tokens too) becomes empty.
        """
        for _ in range(_MAX_PASSES):
            line = self._passed(text)
            if line == text:
                return line
            text = line
        return ""

    def passed(self, tokens: Iterable[str]) -> list[str]:
        """Return those of `tokens` that a title could smuggle through."""
        return [token for token in tokens if token.strip() and token in self.clean(token)]

    def _passed(self, text: str) -> str:
        """Clean once: removing something may put together what is removed in the next pass."""
        if not (text.isascii() and text.isprintable()):
            visible = "".join(_visible(character) for character in unicodedata.normalize("NFKC", text))
            text = _IGNORABLE.sub("", visible)
        line = _SPACES.sub(" ", text.translate(self._look_alikes)).strip()
        if not self._may_order:
            line = _OPENING.sub(lambda found: found[0].lower(), line)
            line = _LABELS.sub(lambda found: found[0].replace(" ", _BREAK), line)
        if self._words is not None:
            line = self._words.sub(lambda found: f"{found[0][0]}{_BREAK}{found[0][1:]}", line)
        return line[: self._max_characters].rstrip()


def _visible(character: str) -> str:
    """Keep a character, turn a line break or a tab into a space, drop what nobody sees (zero-width, bidi, control)."""
    if unicodedata.category(character) not in _INVISIBLE:
        return character
    return " " if character in "\n\r\t\v\f\x85\u2028\u2029" else ""
