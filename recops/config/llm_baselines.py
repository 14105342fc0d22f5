"""Recipe section `llm_baselines`: language models that rank without tools, LLaRA and S-DPO; each may be off."""

from typing import Annotated

from pydantic import Field

from recops.config.agent import CatalogueField
from recops.config.policy import Count, LoraConfig, Positive
from recops.config.section import Section


class LlaraConfig(Section):
    """LLaRA (arXiv 2312.02445): item embeddings of SASRec in the prompt, behind a trained projector.

    Attributes:
        projector_width: hidden units of the projector, an MLP with one hidden layer.
    """

    steps: Count
    learning_rate: Positive
    projector_width: Count


class SDpoConfig(Section):
    """S-DPO (arXiv 2406.09215): SFT on text prompts, then softmax preference of the target over several negatives.

    Attributes:
        beta: weight of the distance to the SFT model.
        num_negatives: how many other candidates each target is preferred to at a time.
    """

    sft_steps: Count
    sft_learning_rate: Positive
    steps: Count
    learning_rate: Positive
    beta: Positive
    num_negatives: Count


class LlmBaselinesConfig(Section):
    """Settings of the stage `llm_baselines`; null switches a baseline off.

    Attributes:
        item_fields: what stands for an item in the prompts, in the history and beside a candidate's label. No
            rating: these prompts know items and no moment, and the catalogue's average holds later ratings.
    """

    item_fields: Annotated[tuple[CatalogueField, ...], Field(min_length=1)]
    batch_size: Count
    checkpoint_steps: Count
    lora: LoraConfig | None
    llara: LlaraConfig | None
    s_dpo: SDpoConfig | None
