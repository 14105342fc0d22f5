"""Recipe sections of the stages that train a policy: base, SFT, GRPO, PPR."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recops.config.endpoint import EndpointConfig
from recops.config.section import Section

Count = Annotated[int, Field(ge=1)]
CountOrNone = Annotated[int, Field(ge=0)]
Positive = Annotated[float, Field(gt=0)]
AdvantageRule = Literal["mean", "leave_one_out", "standardized"]


class LoraConfig(Section):
    """LoRA adapters through PEFT; `target_modules` as PEFT names them ("all-linear" for every linear layer)."""

    rank: Count
    alpha: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    target_modules: str


class EmbeddedPolicyConfig(Section):
    """A small Qwen3-architecture model with its own tokenizer, trained from scratch on synthetic episodes.

    Attributes:
        orders: how many orders a synthetic episode or drill merges, each as likely as it stands there.
    """

    kind: Literal["embedded"]
    width: Count
    num_layers: Count
    num_heads: Count
    rope_theta: Positive
    vocabulary_size: Annotated[int, Field(ge=512)]
    drill_steps: Count
    episode_steps: Count
    orders: Annotated[tuple[Count, ...], Field(min_length=1)]
    drill_batch_size: Count
    episode_batch_size: Count
    learning_rate: Positive
    checkpoint_steps: Count


class AdapterConfig(Section):
    """A LoRA adapter that PEFT saved for the model: a local folder, or a hub repository at a pinned revision."""

    model: str
    revision: str | None


class PretrainedPolicyConfig(Section):
    """A local folder, or a hub model at a pinned revision. Weights are safetensors; remote code never runs.

    Attributes:
        adapter: is merged into the weights; null for none.
    """

    kind: Literal["pretrained"]
    model: str
    revision: str | None
    adapter: AdapterConfig | None
    dtype: Literal["float32", "bfloat16"]


BasePolicyConfig = Annotated[EmbeddedPolicyConfig | PretrainedPolicyConfig, Field(discriminator="kind")]


class EndpointExpertConfig(Section):
    """A stronger model that plays as many tasks at a temperature, behind an endpoint."""

    num_episodes: Count
    temperature: Annotated[float, Field(ge=0)]
    server: EndpointConfig


class ExpertEpisodesConfig(Section):
    """Settings of the stage `expert_episodes`: episodes of up to four kinds of experts, filtered.

    Attributes:
        pair_fraction: share of tasks that ask about two candidates, as PPR does later.
        min_orders: least number of ordering calls of a scripted episode; `max_orders` the greatest. With 0 the script
            answers in a random order, which is all that an agent without tools can imitate.
        explore_fraction: share of scripted episodes that ask random tools; the others ask the best set of their size.
        look_fraction: share of scripted episodes with one more call, to a tool that describes.
        keep_target_in_top: an episode is kept where the target is among as many.
        keep_max_calls: and where it made at most as many calls; and at least one, unless this is 0.
        keep_max_similarity: and where it is less alike than this to every one kept before it (Jaccard similarity of
            their runs of three words); null for no such filter.
        keep_max_tool_set_fraction: no set of called tools is more than this share of what is kept; null for no limit.
        temperature: of self-play; `batch_size` episodes of it, or of an endpoint, run at a time.
        constrain_answers: whether self-played answers can only become valid lists.
        endpoint: a stronger model plays too; null for none.
        file: JSON lines that people wrote, relative to the project's root; null for none.
    """

    num_scripted: Annotated[int, Field(ge=0)]
    num_self_played: Annotated[int, Field(ge=0)]
    pair_fraction: Annotated[float, Field(ge=0, le=1)]
    min_orders: CountOrNone
    max_orders: CountOrNone
    explore_fraction: Annotated[float, Field(ge=0, le=1)]
    look_fraction: Annotated[float, Field(ge=0, le=1)]
    keep_target_in_top: Count
    keep_max_calls: CountOrNone
    keep_max_similarity: Annotated[float, Field(gt=0, le=1)] | None
    keep_max_tool_set_fraction: Annotated[float, Field(gt=0, le=1)] | None
    temperature: Positive
    batch_size: Count
    constrain_answers: bool
    endpoint: EndpointExpertConfig | None
    file: str | None

    @model_validator(mode="after")
    def _least_below_greatest(self) -> "ExpertEpisodesConfig":
        if self.min_orders > self.max_orders:
            raise ValueError(f"min_orders {self.min_orders} is above max_orders {self.max_orders}")
        return self


class SftConfig(Section):
    """Settings of the stage `sft_checkpoint`."""

    steps: Count
    batch_size: Count
    learning_rate: Positive
    checkpoint_steps: Count
    lora: LoraConfig | None


class GrpoConfig(Section):
    """Settings of the stage `grpo_model` (list-wise GRPO).

    `advantage` is the reward minus the mean of the group (AgenticRec), minus the mean of the others of the group, or
    divided by the standard deviation of the group as well (GRPO as first published; episodes of groups that hardly
    differ then weigh as much as those of groups that do).
    `constrain_answers` lets an answer that has begun only become a valid list, which the loop `recops` can: the policy
    is then trained on tokens that it did not choose freely, so that recipes have it off.
    """

    steps: Count
    samples_per_step: Count
    group_size: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    temperature: Positive
    advantage: AdvantageRule
    drop_negative_groups: bool
    beta: Annotated[float, Field(ge=0)]
    tool_loop: Literal["trl", "recops"]
    constrain_answers: bool
    checkpoint_steps: Count
    lora: LoraConfig | None

    @model_validator(mode="after")
    def _constrained_by_our_loop(self) -> "GrpoConfig":
        if self.constrain_answers and self.tool_loop != "recops":
            raise ValueError("constrain_answers needs tool_loop: recops")
        return self


class PreferencePairsConfig(Section):
    """Settings of the stage `preference_pairs`: how many training samples are ranked to mine violations, and how."""

    num_samples: Count
    batch_size: Count
    constrain_answers: bool


class PprConfig(GrpoConfig):
    """Settings of the stage `ppr_model`: GRPO on mined pairs, mixed with list-wise samples."""

    ranking_fraction: Annotated[float, Field(ge=0, le=1)]
