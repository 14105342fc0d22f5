"""Drills: copying and merging orders with nothing around them, the densest lesson there is.

`Order: C A B`, once or several times, then `Answer:` with the fusion of all candidates. In a whole episode ten of 160
tokens teach to merge; in a drill it is twenty of sixty. Positions are relative: what forms here works in episodes.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from recops.agent.prompts import ANSWER_THOUGHTS, render_answer, render_order, request_line
from recops.config.agent import MergeConfig
from recops.records import Direction, label
from recops.train.conversations import IGNORED, padded
from recops.train.synthetic import View, draw_views


def drill_batch(
    tokenizer: Any,
    generator: np.random.Generator,
    *,
    batch_size: int,
    num_candidates: int,
    num_views: int,
    merge: MergeConfig,
) -> tuple[Tensor, Tensor]:
    """Return token ids and labels, int64 (B, L); a label stands where the answer names a candidate.

    Drills with two candidates are pairs: a line asks for MORE or LESS, and the answer names one.
    """
    drill = _pair_drill if num_candidates == 2 else _drill
    drills = [drill(generator, num_candidates, num_views, merge) for _ in range(batch_size)]
    questions = tokenizer([question for question, _ in drills], add_special_tokens=False)["input_ids"]
    answers = tokenizer([answer for _, answer in drills], add_special_tokens=False)["input_ids"]
    ids_BL = padded([a + b for a, b in zip(questions, answers, strict=True)], tokenizer.pad_token_id)
    labels_BL = padded([_masked(a, b) for a, b in zip(questions, answers, strict=True)], IGNORED)
    return ids_BL, labels_BL


def _drill(generator: np.random.Generator, num_candidates: int, num_views: int, merge: MergeConfig) -> tuple[str, str]:
    views, fusion = draw_views(generator, num_candidates, num_views, merge)
    return _written(views), render_answer([label(one) for one in fusion])


def _pair_drill(
    generator: np.random.Generator, num_candidates: int, num_views: int, merge: MergeConfig
) -> tuple[str, str]:
    views, fusion = draw_views(generator, num_candidates, num_views, merge)
    direction: Direction = "more" if generator.random() < 0.5 else "less"
    right = fusion[0] if direction == "more" else fusion[-1]
    thought = ANSWER_THOUGHTS[direction]
    return f"{request_line(direction, 1)}\n{_written(views)}{thought}\n", render_answer([label(right)])


def _written(views: Sequence[View]) -> str:
    orders = [render_order([label(one) for one in known], [label(one) for one in unknown]) for known, unknown in views]
    return "".join(f"{order}\n" for order in orders)


def _masked(question: Sequence[int], answer: Sequence[int]) -> list[int]:
    """Hide the question and the word that opens the answer."""
    return [IGNORED] * (len(question) + 1) + list(answer[1:])
