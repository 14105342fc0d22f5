"""Recipe section `baselines`: what a user would pick instead of an agent."""

from typing import Annotated, Literal, get_args

from pydantic import Field, field_validator, model_validator

from recops.config.section import Section

EvidenceName = Literal[
    "popularity", "recent_popularity", "text_similarity", "similar_users", "taken_together", "sasrec"
]
"""What the agent's tools order the candidates by."""
SingleName = Literal["random", "item_knn", "als", "sentence_similarity"] | EvidenceName
MergeName = Literal["fusion", "lambdamart", "lambdamart_scores"]
SystemName = SingleName | MergeName

MERGES: tuple[MergeName, ...] = get_args(MergeName)


class ItemKnnConfig(Section):
    """Item-kNN: neighbours kept per item, and how the items of a history are weighed.

    `shrinkage` is added to the cosine's denominator; of a history the last `history_length` events count, each weighing
    `recency_decay` of the one after it.
    """

    num_neighbours: Annotated[int, Field(ge=1)]
    shrinkage: Annotated[float, Field(ge=0)]
    history_length: Annotated[int, Field(ge=1)]
    recency_decay: Annotated[float, Field(gt=0, le=1)]


class AlsConfig(Section):
    """Alternating least squares; `confidence` is the weight of a taken item beyond that of one not taken (alpha)."""

    width: Annotated[int, Field(ge=1)]
    regularization: Annotated[float, Field(gt=0)]
    confidence: Annotated[float, Field(gt=0)]
    iterations: Annotated[int, Field(ge=1)]


class SentenceModelConfig(Section):
    """A local folder with a pretrained encoder (`${VARIABLE:-default}` is expanded), and how texts are given to it."""

    folder: str
    batch_size: Annotated[int, Field(ge=1)]
    max_tokens: Annotated[int, Field(ge=8)]


class LambdaMartConfig(Section):
    """LightGBM's LambdaMART."""

    num_trees: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0, le=1)]
    num_leaves: Annotated[int, Field(ge=2)]
    min_candidates_per_leaf: Annotated[int, Field(ge=1)]


class BaselinesConfig(Section):
    """Settings of the stage `baselines`.

    A system is one evidence alone or a merge of the evidence that the agent's tools give: `fusion` (weighted reciprocal
    ranks of three), `lambdamart` (a learned ranker over the tools' answers), `lambdamart_scores` (the same with the
    scores behind them). `popularity_windows_days` adds a system `popularity_N_days` for each. Every system is compared
    with each of `references`.
    """

    systems: Annotated[tuple[SystemName, ...], Field(min_length=1)]
    popularity_windows_days: tuple[Annotated[int, Field(ge=1)], ...]
    references: tuple[str, ...]
    item_knn: ItemKnnConfig
    als: AlsConfig
    sentence_model: SentenceModelConfig | None
    lambdamart: LambdaMartConfig
    bootstrap_draws: Annotated[int, Field(ge=100)]
    confidence: Annotated[float, Field(gt=0, lt=1)]

    @property
    def windows(self) -> dict[str, int]:
        """System -> days before the sample in which it counts."""
        return {f"popularity_{days}_days": days for days in self.popularity_windows_days}

    @property
    def singles(self) -> tuple[str, ...]:
        """The systems that score items one by one: those that can rank the whole catalogue."""
        return (*(name for name in self.systems if name not in MERGES), *self.windows)

    @property
    def merges(self) -> tuple[MergeName, ...]:
        """The systems that merge others."""
        return tuple(name for name in self.systems if name in MERGES)

    @field_validator("systems", "popularity_windows_days", "references")
    @classmethod
    def _nothing_twice(cls, names: tuple[object, ...]) -> tuple[object, ...]:
        if len(set(names)) != len(names):
            raise ValueError("one of them is named twice")
        return names

    @model_validator(mode="after")
    def _references_are_systems(self) -> "BaselinesConfig":
        unknown = set(self.references) - {*self.singles, *self.merges}
        if unknown:
            raise ValueError(f"references that are no system of this recipe: {', '.join(sorted(unknown))}")
        return self

    @model_validator(mode="after")
    def _sentence_model_is_used(self) -> "BaselinesConfig":
        if (self.sentence_model is not None) != ("sentence_similarity" in self.systems):
            raise ValueError("sentence_similarity and sentence_model go together: give both or none")
        return self
