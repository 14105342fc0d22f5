"""Names under which a stage's results are logged: one thing has one name, whatever stage measured it.

A report keeps the shape that its stage gives it, for it is a part of an artefact. In MLflow two runs are laid side by
side by the names of their metrics, so that a baseline is called the same in its own run, in an evaluation and in a
study, and what a training came to the same after GRPO and after PPR.
"""

from collections.abc import Mapping

from recops.stage import StageName

_TRAINING = "training."
_BASELINES = "ndcg_at_10."
_OWN, _FURTHER = "candidates", "candidates_"


def logged_names(stage: StageName, numbers: Mapping[str, float]) -> dict[str, float]:
    """Return the numbers of a report under the names that they have in every run.

    Args:
        stage: whose report.
        numbers: by their place in the report, keys joined by dots.
    """
    rename = {"baselines": _of_a_baseline, "ppr_model": _of_a_training}.get(stage, str)
    return {rename(name): value for name, value in numbers.items()}


def _of_a_training(name: str) -> str:
    return name.removeprefix(_TRAINING)


def _of_a_baseline(name: str) -> str:
    """As in an evaluation: where it was measured, the system, the metric."""
    if not name.startswith(_BASELINES):
        return name
    ranked, slice_name, system = name.removeprefix(_BASELINES).split(".", 2)
    is_test = slice_name == "test"
    if ranked == _OWN:
        place = "systems" if is_test else slice_name
    else:
        kind = f"further_candidates.{ranked.removeprefix(_FURTHER)}" if ranked.startswith(_FURTHER) else ranked
        place = kind if is_test else f"{slice_name}.{kind}"
    return f"{place}.{system}.ndcg@10"
