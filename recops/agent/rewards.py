"""The reward of an episode: a sum of named, weighted, pure terms (AgenticRec, RecThinker).

The ranking term is the metric of the report: both call `recops.metrics`.
"""

from recops.config.agent import RewardConfig
from recops.metrics import ABSENT, ndcg_at_k, rank_of
from recops.records import Answer, Task

CUTOFF = 10
OWN = "own/"
"""What the names of terms from other packages begin with, in rewards, curves and reports."""
TERMS = "terms/"
"""What the names of the terms' means over all episodes begin with, in curves and in MLflow."""


def reward_terms(task: Task, answer: Answer, num_calls: int, weights: RewardConfig) -> dict[str, float]:
    """Return every term by name, 0 where it does not apply; their sum is the reward.

    A pair is right or wrong: 1 or 0, and no bonus for tools. An invalid answer costs the same in both kinds of task.
    """
    terms = dict.fromkeys(("ndcg", "preference", "absent", "invalid", "tool_bonus", "call_cost"), 0.0)
    if num_calls:
        terms["call_cost"] = -weights.call_cost * num_calls
    if answer.error is not None:
        terms["invalid"] = weights.invalid
    elif task.direction != "rank":
        terms["preference"] = float(answer.ranking[0] == task.answer_item)
    else:
        terms.update(_ranking_terms(task, answer, num_calls, weights))
    return terms


def _ranking_terms(task: Task, answer: Answer, num_calls: int, weights: RewardConfig) -> dict[str, float]:
    rank = rank_of(task.sample.target, answer.ranking)
    if rank == ABSENT:
        return {"absent": weights.absent}
    bonus = weights.tool_bonus if rank == 0 and num_calls else 0.0
    return {"ndcg": weights.ndcg * float(ndcg_at_k(rank, CUTOFF)), "tool_bonus": bonus}
