"""Recipe section `agent`: the tools, prompts and reward that training, evaluation and use share."""

from typing import Annotated, Any, Literal

from pydantic import Field, field_validator, model_validator

from recops.config.section import Section

CatalogueField = Literal["title", "category", "store", "price"]
"""What the catalogue says of an item, at whatever moment it is asked."""

ItemField = CatalogueField | Literal["rating"]
"""The rating is of a moment: the mean of all ratings before it."""

ProfilePart = Literal["habits", "categories", "stores", "price", "rating", "span"]
Engine = Literal["transformers", "vllm"]
Loop = Literal["react", "analyze_plan_act"]

SUITES: dict[str, tuple[str, ...]] = {
    "agenticrec": (
        "get_user_profile",
        "get_session_behavior",
        "get_rating_behavior",
        "get_item_info",
        "analyze_candidates",
        "rank_by_popularity",
        "get_similar_items",
        "get_similar_users",
        "rank_by_next_item",
    ),
    "recthinker": ("get_user_profile", "get_user_history", "get_item_info", "get_related_items", "get_similar_users"),
    "all": (
        "get_user_profile",
        "get_user_history",
        "get_session_behavior",
        "get_rating_behavior",
        "get_item_info",
        "get_related_items",
        "analyze_candidates",
        "rank_by_popularity",
        "get_similar_items",
        "get_similar_users",
        "rank_by_next_item",
        "rank_by_taken_together",
        "rank_by_similarity",
        "search_catalog",
    ),
}
"""Tools as each paper has them (AgenticRec, arXiv 2603.21613; RecThinker, arXiv 2603.09843), and all of ours."""


class RewardConfig(Section):
    """Weights of the reward's terms (AgenticRec, RecThinker); 0 switches a term off.

    `own` has the weights of terms of other packages, by the name of an entry point of `recops.rewards` or as
    `package.module.function`.
    """

    ndcg: float
    absent: float
    invalid: float
    tool_bonus: float
    call_cost: float
    own: dict[str, float]


REWARDS: dict[str, dict[str, Any]] = {
    "agenticrec": {"ndcg": 1.0, "absent": -0.5, "invalid": -1.0, "tool_bonus": 0.1, "call_cost": 0.0, "own": {}},
    "recthinker": {"ndcg": 1.0, "absent": -0.5, "invalid": -1.0, "tool_bonus": 0.0, "call_cost": 0.01, "own": {}},
}
"""The papers' rewards by name. RecThinker's weight per call is not published: at a hundredth, three calls more must
move the target from the sixth place to the fifth to be worth it."""


class LastItemsConfig(Section):
    """The prompt shows the last `history_length` items and nothing of those before."""

    kind: Literal["last_items"]


class SummaryConfig(Section):
    """Before the last `history_length` items the prompt has a rolling summary of the others.

    Both together have at most `max_tokens`, the line `History:` included; the last items are always there, shortened
    where they must be.
    """

    kind: Literal["summary"]
    max_tokens: Annotated[int, Field(ge=1)]


class MergeConfig(Section):
    """How the expert and the warm-up of the embedded policy merge orders: by reciprocal ranks, the first leads.

    A candidate scores factor / (`rank_constant` + rank), rank from 0, summed over the orders; the factor is
    `lead_factor` for the order that was asked for first, else 1 (Cormack, Clarke and Buettcher 2009).
    """

    rank_constant: Annotated[float, Field(gt=0)]
    lead_factor: Annotated[float, Field(ge=1)]


MemoryConfig = Annotated[LastItemsConfig | SummaryConfig, Field(discriminator="kind")]

MIN_TOKENS_PER_ITEM = 8
"""One character and a line break have at most five tokens, one per byte; the line `History:` has nine bytes."""


class AgentConfig(Section):
    """What the agent sees, may call and is paid for.

    `loop` is the form of its turns: one thought and one call (AgenticRec), or what is known, what is missing, a plan
    and the calls of the plan (RecThinker). `tools` is the name of a suite or a list of names: of our tools, of entry
    points of `recops.tools`, or `package.module.function`. The suite's names stand here afterwards, so that a manifest
    says what there was. The three lists of fields say what stands for an item in the history of the prompt, beside a
    candidate's letter in the prompt, and in the answers of the tools that describe items; a rating among them needs
    interactions with ratings. `profile_parts` is what `get_user_profile` tells, in that order. `engine` plays trained
    policies where nothing is trained: self-play, mining, evaluation, use. `reward` has the weights, or is a name of
    `REWARDS`, of which the weights stand here afterwards.
    """

    engine: Engine
    loop: Loop
    tools: tuple[str, ...]
    max_calls: Annotated[int, Field(ge=0, le=10)]
    num_ranked: Annotated[int, Field(ge=1)]
    history_length: Annotated[int, Field(ge=1)]
    memory: MemoryConfig
    history_fields: tuple[ItemField, ...]
    candidate_fields: tuple[ItemField, ...]
    tool_fields: tuple[ItemField, ...]
    profile_parts: Annotated[tuple[ProfilePart, ...], Field(min_length=1)]
    merge: MergeConfig
    popularity_window_days: Annotated[int, Field(ge=1)]
    max_title_characters: Annotated[int, Field(ge=10)]
    max_completion_tokens: Annotated[int, Field(ge=16)]
    reward: RewardConfig

    @field_validator("tools", mode="before")
    @classmethod
    def _names_of_a_suite(cls, tools: Any) -> Any:
        if not isinstance(tools, str):
            return tools
        if tools not in SUITES:
            raise ValueError(f"expected a list of tools, or one of the suites {', '.join(SUITES)}")
        return SUITES[tools]

    @field_validator("reward", mode="before")
    @classmethod
    def _weights_of_a_reward(cls, reward: Any) -> Any:
        if not isinstance(reward, str):
            return reward
        if reward not in REWARDS:
            raise ValueError(f"expected the weights, or one of the rewards {', '.join(REWARDS)}")
        return REWARDS[reward]

    @field_validator("tools")
    @classmethod
    def _no_tool_twice(cls, tools: tuple[str, ...]) -> tuple[str, ...]:
        if len(set(tools)) != len(tools):
            raise ValueError("a tool is named twice")
        return tools

    @model_validator(mode="after")
    def _room_for_the_last_items(self) -> "AgentConfig":
        if self.memory.kind == "last_items":
            return self
        least = MIN_TOKENS_PER_ITEM * (self.history_length + 2)
        if self.memory.max_tokens < least:
            raise ValueError(f"memory.max_tokens {self.memory.max_tokens} is below {least}, too few for the last items")
        if not self.history_fields:
            raise ValueError("memory summarises what history_fields name, and they are empty")
        return self
