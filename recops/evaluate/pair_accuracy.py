"""What refinement made of the questions about two candidates: PPR's accuracy on held-out pairs, beside chance."""

from pathlib import Path
from typing import Any

from scipy.stats import binomtest

from recops.artifacts import MANIFEST, read_json

_TOLD = ("held_out_pairs", "before", "after", "chance")


def pair_accuracy(ppr_model: Path, confidence: float) -> dict[str, Any]:
    """Return, as the stage `ppr_model` reported it, the number of held-out pairs and the accuracies.

    Returns:
        `held_out_pairs`, and `before`, `after` and `chance`, each the shares of pairs that are answered rightly in the
        directions `more` and `less` and in `both`; `intervals` has both ends of what is measured (Wilson 1927), with
        the pairs taken as independent. Empty where a trial leaves the stage out: the folder is then that of
        the policy before, which has met no held-out pair.
    """
    report = read_json(ppr_model / MANIFEST).get("report", {})
    if "held_out_pairs" not in report:
        return {}
    pairs = report["held_out_pairs"]
    intervals = {
        moment: {way: _interval(share, pairs, confidence) for way, share in report[moment].items()}
        for moment in ("before", "after")
    }
    return {**{key: report[key] for key in _TOLD}, "intervals": intervals}


def _interval(share: float, count: int, confidence: float) -> dict[str, float]:
    found = binomtest(round(share * count), count).proportion_ci(confidence, method="wilson")
    return {"low": float(found.low), "high": float(found.high)}
