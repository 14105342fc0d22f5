"""What refinement made of the questions about two candidates: PPR's accuracy on held-out pairs, beside chance."""

from pathlib import Path
from typing import Any

from recops.artifacts import MANIFEST, read_json

_TOLD = ("held_out_pairs", "before", "after", "chance")


def pair_accuracy(ppr_model: Path) -> dict[str, Any]:
    """Return, as the stage `ppr_model` reported it, the number of held-out pairs and the accuracies.

    Returns:
        `held_out_pairs`, and `before`, `after` and `chance`, each the shares of pairs that are answered rightly in the
        directions `more` and `less` and in `both`. Empty where a trial leaves the stage out: the folder is then that of
        the policy before, which has met no held-out pair.
    """
    report = read_json(ppr_model / MANIFEST).get("report", {})
    return {key: report[key] for key in _TOLD} if "held_out_pairs" in report else {}
