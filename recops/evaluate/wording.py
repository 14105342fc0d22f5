"""Names and numbers as a person reads them."""

import math

from recops.evaluate.paired import MAIN_METRIC, Paired

_NAMES = {
    "sasrec": "SASRec",
    "base_policy": "Base policy",
    "sft_checkpoint": "SFT",
    "grpo_model": "GRPO",
    "ppr_model": "PPR",
    "llara": "LLaRA",
    "s_dpo": "S-DPO",
    "llm_baselines": "LLM baselines",
    "lambdamart": "LambdaMART",
    "lambdamart_scores": "LambdaMART with scores",
    "item_knn": "Item-kNN",
    "als": "ALS",
}
_METRIC_NAMES = {"hr": "HR", "ndcg": "NDCG", "mrr": "MRR"}


def system_name(name: str) -> str:
    """Return the name of a system or stage for a table."""
    return _NAMES.get(name, name.replace("_", " ").capitalize())


def metric_name(name: str) -> str:
    """Return the name of a metric for a table: `ndcg@10` becomes `NDCG@10`."""
    kind, at, cutoff = name.partition("@")
    return f"{_METRIC_NAMES.get(kind, kind)}{at}{cutoff}"


def decimal(value: float, digits: int = 3) -> str:
    """Return a number without the zero before the point, as the field writes metrics: `.452`, `-.031`, `1.000`."""
    text = f"{value:.{digits}f}"
    if float(text) == 0:
        text = text.lstrip("-")
    return text.replace("0.", ".", 1) if text.lstrip("-").startswith("0.") else text


def percent(value: float) -> str:
    """Return a share as a percentage with one decimal."""
    return f"{100 * value:.1f} %"


def interval(low: float, high: float) -> str:
    """Return the ends of an interval, with more digits where three would hide on which side of zero an end lies."""
    hidden = [abs(end) for end in (low, high) if end and float(f"{end:.3f}") == 0]
    digits = max((-math.floor(math.log10(end)) for end in hidden), default=3)
    return f"[{decimal(low, digits)}, {decimal(high, digits)}]"


def p_value(value: float) -> str:
    """Return a p-value as the field writes it, and what is below a thousandth as that."""
    return "p < .001" if value < 0.001 else f"p = {decimal(value)}"


def learned_reading(name: str, share: float) -> str:
    """Return how far a system has gone from chance to the oracle, in a sentence."""
    ends = f"0 % is the {metric_name(MAIN_METRIC)} of a random order, 100 % the oracle's"
    return f"{system_name(name)} has learned {percent(share)} of what can be learned: {ends}."


def reading(paired: Paired) -> str:
    """Return what a paired difference shows, in a sentence: a direction only where the corrected test finds one."""
    one, other = system_name(paired.system), system_name(paired.against)
    mean, metric = paired.mean, metric_name(MAIN_METRIC)
    if not paired.differs:
        ends = interval(paired.low, paired.high)
        return f"No difference shown between {one} and {other} in {metric}: {decimal(mean)} {ends}."
    if mean > 0:
        return f"{one} is above {other} by {decimal(mean)} {interval(paired.low, paired.high)} in {metric}."
    return f"{one} is below {other} by {decimal(-mean)} {interval(-paired.high, -paired.low)} in {metric}."
