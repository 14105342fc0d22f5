"""Recipe sections of the stages that train a policy: base, SFT, GRPO, PPR."""

from typing import Annotated, Literal

from pydantic import Field, model_validator

from recops.config.section import Section

Count = Annotated[int, Field(ge=1)]
Positive = Annotated[float, Field(gt=0)]


class LoraConfig(Section):
    """LoRA adapters through PEFT; `target_modules` as PEFT names them ("all-linear" for every linear layer)."""

    rank: Count
    alpha: Count
    dropout: Annotated[float, Field(ge=0, lt=1)]
    target_modules: str


class EmbeddedPolicyConfig(Section):
    """A small Qwen3-architecture model with its own tokenizer, trained from scratch on synthetic episodes."""

    kind: Literal["embedded"]
    width: Count
    num_layers: Count
    num_heads: Count
    rope_theta: Positive
    vocabulary_size: Annotated[int, Field(ge=512)]
    drill_steps: Count
    episode_steps: Count
    drill_batch_size: Count
    episode_batch_size: Count
    learning_rate: Positive
    checkpoint_steps: Count


class PretrainedPolicyConfig(Section):
    """A local folder, or a hub model at a pinned revision. Weights are safetensors; remote code never runs."""

    kind: Literal["pretrained"]
    model: str
    revision: str | None
    dtype: Literal["float32", "bfloat16"]


BasePolicyConfig = Annotated[EmbeddedPolicyConfig | PretrainedPolicyConfig, Field(discriminator="kind")]


class ExpertEpisodesConfig(Section):
    """Settings of the stage `expert_episodes`: scripted and self-played episodes, filtered by outcome.

    Attributes:
        pair_fraction: share of tasks that ask about two candidates, as PPR does later.
        min_orders: least number of ordering calls of a scripted episode; `max_orders` the greatest.
        explore_fraction: share of scripted episodes that ask random tools; the others ask the best set of their size.
        look_fraction: share of scripted episodes with one more call, to a tool that describes.
        rank_constant: in the expert's reciprocal ranks, 1 / (constant + rank): the smaller, the more the first count.
        keep_target_in_top: an episode is kept where the target is among as many.
        temperature: of self-play; `batch_size` episodes of it run at a time.
    """

    num_scripted: Annotated[int, Field(ge=0)]
    num_self_played: Annotated[int, Field(ge=0)]
    pair_fraction: Annotated[float, Field(ge=0, le=1)]
    min_orders: Count
    max_orders: Count
    explore_fraction: Annotated[float, Field(ge=0, le=1)]
    look_fraction: Annotated[float, Field(ge=0, le=1)]
    rank_constant: Positive
    keep_target_in_top: Count
    temperature: Positive
    batch_size: Count

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
    """Settings of the stage `grpo_model` (list-wise GRPO)."""

    steps: Count
    samples_per_step: Count
    group_size: Annotated[int, Field(ge=2)]
    learning_rate: Positive
    temperature: Positive
    advantage: Literal["mean", "leave_one_out"]
    drop_negative_groups: bool
    beta: Annotated[float, Field(ge=0)]
    tool_loop: Literal["trl", "recops"]
    checkpoint_steps: Count
    lora: LoraConfig | None


class PreferencePairsConfig(Section):
    """Settings of the stage `preference_pairs`: how many training samples are ranked to mine violations."""

    num_samples: Count
    batch_size: Count


class PprConfig(GrpoConfig):
    """Settings of the stage `ppr_model`: GRPO on mined pairs, mixed with list-wise samples."""

    ranking_fraction: Annotated[float, Field(ge=0, le=1)]
