"""What the embedded policy is taught at each step: drills first, of them copying first, then whole episodes."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from torch import Tensor

from recops.config.agent import MergeConfig
from recops.config.policy import EmbeddedPolicyConfig
from recops.seeds import sub_seed
from recops.train.conversations import IGNORED, encode_conversations, padded
from recops.train.drills import drill_batch
from recops.train.synthetic import SyntheticEpisodes

NUM_CANDIDATES = 20
"""As many as a sample has at most in the recipes; half of the batches have all of them."""
_HISTORY = 3
_COPY_FRACTION = 0.25
_PAIR_PROBABILITY = 0.2
_PAIR_DRILLS = 4
"""So many times more pair drills in a batch: one has a tenth of the tokens of a ranking drill."""
_FEWEST = 3


class Lesson:
    """The batch of each step: a function of seed and step alone, so that a resumed training reads the same."""

    def __init__(
        self,
        source: SyntheticEpisodes,
        tokenizer: Any,
        tools: Sequence[dict[str, Any]],
        config: EmbeddedPolicyConfig,
        merge: MergeConfig,
        seed: int,
    ) -> None:
        self._source, self._tokenizer, self._tools = source, tokenizer, tools
        self._config, self._merge, self._seed = config, merge, seed

    def batch(self, step: int) -> tuple[Tensor, Tensor]:
        """Return token ids and labels, int64 (B, L); all episodes of a batch have as many candidates."""
        generator = np.random.default_rng(sub_seed(self._seed, "lesson", step))
        if step < self._config.drill_steps:
            return self._drills(generator, step)
        pairs = generator.random() < _PAIR_PROBABILITY
        count = 2 if pairs else _num_candidates(generator)
        conversations = [
            self._source.draw(
                generator,
                num_candidates=count,
                num_views=int(generator.choice(self._config.orders)),
                direction=("more", "less")[int(generator.integers(2))] if pairs else "rank",
                history=_HISTORY,
            )
            for _ in range(self._config.episode_batch_size)
        ]
        rows = encode_conversations(self._tokenizer, conversations, self._tools)
        ids_BL = padded([ids for ids, _ in rows], self._tokenizer.pad_token_id)
        return ids_BL, padded([labels for _, labels in rows], IGNORED)

    def _drills(self, generator: np.random.Generator, step: int) -> tuple[Tensor, Tensor]:
        copying = step < _COPY_FRACTION * self._config.drill_steps
        pairs = not copying and generator.random() < _PAIR_PROBABILITY
        return drill_batch(
            self._tokenizer,
            generator,
            batch_size=self._config.drill_batch_size * (_PAIR_DRILLS if pairs else 1),
            num_candidates=2 if pairs else _num_candidates(generator),
            num_views=1 if copying else int(generator.choice(self._config.orders)),
            merge=self._merge,
        )


def _num_candidates(generator: np.random.Generator) -> int:
    """Return the full number half of the time, so that most is learned where most is asked, else fewer."""
    return NUM_CANDIDATES if generator.random() < 0.5 else int(generator.integers(_FEWEST, NUM_CANDIDATES + 1))
