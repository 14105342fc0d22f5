"""The newest frozen candidates: the test slice of the recipe's data as it lies there, which every model has to play."""

from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recops.artifacts import content_sha256, read_json, verify
from recops.config.recipe import Recipe
from recops.data.samples import SampleStore, frozen_sha256
from recops.evaluate.agent import chosen_samples
from recops.paths import Layout

TRAINED_ON = "policy_train"


@dataclass(frozen=True)
class Newest:
    """The newest data, and the samples of its test slice that are played: those that an evaluation would choose."""

    splits: Path
    sasrec: Path
    recipe: Recipe

    @classmethod
    def of(cls, layout: Layout, recipe: Recipe) -> "Newest":
        """Open the recipe's data.

        Raises:
            InputError: an artefact is missing or damaged.
        """
        splits, sasrec = layout.artefact("validated_splits"), layout.artefact("sasrec_embeddings")
        verify(splits)
        verify(sasrec)
        return cls(splits, sasrec, recipe)

    @cached_property
    def store(self) -> SampleStore:
        """The data."""
        return SampleStore.load(self.splits, self.sasrec)

    @cached_property
    def sample_ids(self) -> NDArray[np.int32]:
        """The samples, ascending."""
        return chosen_samples(self.store, "test", self.recipe.evaluation_reports.max_samples, self.recipe.seed)

    @cached_property
    def users(self) -> NDArray[np.int64]:
        """The user of each sample."""
        return np.array([self.store.sample(int(sample_id)).user for sample_id in self.sample_ids], dtype=np.int64)

    @cached_property
    def num_candidates(self) -> NDArray[np.int64]:
        """How many candidates each sample has."""
        counts = [len(self.store.sample(int(sample_id)).candidates) for sample_id in self.sample_ids]
        return np.array(counts, dtype=np.int64)

    @cached_property
    def candidates_sha256(self) -> str:
        """Equal only for equal test sets."""
        return frozen_sha256(self.splits, self.sasrec)

    def why_trained_on(self, splits: Path) -> str | None:
        """Return why a model that was trained on some splits may have seen these samples; None if it has not.

        With the same splits it has not, for their slices are disjoint. With others, the newest samples must be later
        than everything that the model was trained on.
        """
        if content_sha256(read_json(splits / "manifest.json")["files"]) == self._content:
            return None
        trained, first = _trained_until(read_json(splits / "splits.json")), self._slices["test"]["first_timestamp"]
        return None if trained < first else f"trained until {_date(trained)}, candidates from {_date(first)}"

    @cached_property
    def _content(self) -> str:
        return content_sha256(read_json(self.splits / "manifest.json")["files"])

    @cached_property
    def _slices(self) -> dict[str, Any]:
        return dict(read_json(self.splits / "splits.json")["slices"])


def _trained_until(splits: dict[str, Any]) -> int:
    """Time of the last row that SASRec or the policy learned from, in milliseconds since 1970 (UTC)."""
    return max(int(splits["slices"][name]["last_timestamp"]) for name in {*splits["fitted_slices"], TRAINED_ON})


def _date(milliseconds: int) -> str:
    return str(np.datetime64(milliseconds, "ms").astype("datetime64[D]"))
