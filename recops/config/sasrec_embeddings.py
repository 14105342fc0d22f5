"""Recipe section `sasrec_embeddings`: the sequential recommender behind the collaborative tools."""

from typing import Annotated

from pydantic import Field

from recops.config.section import Section


class SasrecConfig(Section):
    """Settings of the stage `sasrec_embeddings`."""

    width: Annotated[int, Field(ge=4)]
    num_layers: Annotated[int, Field(ge=1)]
    num_heads: Annotated[int, Field(ge=1)]
    max_length: Annotated[int, Field(ge=2)]
    dropout: Annotated[float, Field(ge=0, lt=1)]
    batch_size: Annotated[int, Field(ge=1)]
    learning_rate: Annotated[float, Field(gt=0)]
    weight_decay: Annotated[float, Field(ge=0)]
    max_epochs: Annotated[int, Field(ge=1)]
    patience_epochs: Annotated[int, Field(ge=1)]
