"""Recipe section `sasrec_embeddings`: the sequential recommender behind the collaborative tools."""

from typing import Annotated, Literal

from pydantic import Field

from recops.config.section import Section


class CrossEntropy(Section):
    """Softmax over the whole catalogue; its products with the item embeddings in `precision`, weights in float32."""

    kind: Literal["cross_entropy"]
    precision: Literal["float32", "bfloat16"]


class SampledSoftmax(Section):
    """Softmax over the target and negatives that all positions of a batch share."""

    kind: Literal["sampled_softmax"]
    num_negatives: Annotated[int, Field(ge=1)]


class GeneralisedBinaryCrossEntropy(Section):
    """gBCE of gSASRec, negatives drawn for each position; `calibration` is its t."""

    kind: Literal["gbce"]
    num_negatives: Annotated[int, Field(ge=1)]
    calibration: Annotated[float, Field(ge=0, le=1)]


class BinaryCrossEntropy(Section):
    """The loss of the original SASRec, negatives drawn for each position."""

    kind: Literal["bce"]
    num_negatives: Annotated[int, Field(ge=1)]


LossConfig = Annotated[
    CrossEntropy | SampledSoftmax | GeneralisedBinaryCrossEntropy | BinaryCrossEntropy, Field(discriminator="kind")
]


class SasrecConfig(Section):
    """Settings of the stage `sasrec_embeddings`."""

    width: Annotated[int, Field(ge=4)]
    num_layers: Annotated[int, Field(ge=1)]
    num_heads: Annotated[int, Field(ge=1)]
    max_length: Annotated[int, Field(ge=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    training_sequences: Literal["windows", "prefixes"]
    """`windows`: every position of a sequence predicts the next item, at once. `prefixes`: each item is a sample of its
    own, behind the `max_length` items before it (RecBole's augmentation): better as a rule, slower by the length."""
    loss: LossConfig
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    warmup_steps: Annotated[int, Field(ge=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    average_decay: Annotated[float, Field(ge=0, lt=1)]
    """Share of the old that a step leaves in the running mean of the weights, which is what is kept; 0: the weights."""
    max_epochs: Annotated[int, Field(ge=1)]
    patience_epochs: Annotated[int, Field(ge=1)]
    exact_search_max_users: Annotated[int, Field(ge=1)]
    """Up to so many users the nearest are found exactly, above with an index whose recall is reported."""
