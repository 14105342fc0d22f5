"""Everything that a comparison of runs says, as plain records: the page and the terminal print the same."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recops.compare.evaluation import Evaluation, read_evaluation
from recops.compare.pairing import Change, GroupChange, Pair, changes, group_changes, paired_runs
from recops.compare.runs import STAGE, open_runs
from recops.compare.settings import Setting, differing, differing_slices
from recops.errors import InputError
from recops.evaluate.paired import MAIN_METRIC
from recops.tracking import run_metrics


@dataclass(frozen=True)
class RunComparison:
    """Some runs beside the first one.

    Attributes:
        evaluations: the runs, in the order in which they were named.
        settings: what differs between them, the data's time slices first.
        pairs: for every run after the first, the samples that both have; None where the candidates differ.
        changes: for every run after the first, by system, its difference to the first; empty where candidates differ.
        groups: for every run after the first, by agent, the difference by group of samples.
        seconds: by run, what MLflow recorded of the time that requests took; empty where it knows nothing.
    """

    evaluations: tuple[Evaluation, ...]
    settings: list[Setting]
    pairs: list[Pair | None]
    changes: list[dict[str, Change]]
    groups: list[dict[str, list[GroupChange]]]
    seconds: list[dict[str, float]]

    @property
    def systems(self) -> list[str]:
        """Every system of any run, by its highest NDCG@10, the best first."""
        best: dict[str, float] = {}
        for one in self.evaluations:
            for name, values in one.metrics["systems"].items():
                best[name] = max(best.get(name, 0.0), values[MAIN_METRIC]["mean"])
        return sorted(best, key=lambda name: (-best[name], name))


def compare_runs(root: Path, names: Sequence[str]) -> RunComparison:
    """Return the comparison of runs that are named as `recops.compare.runs.open_runs` says.

    Raises:
        InputError: no run is named, or one is unknown, damaged or no evaluation.
    """
    if not names:
        step = "Name runs: recops compare embedded 73657e70"
        raise InputError("runs", found="none", expected="at least one", next_step=step)
    evaluations = tuple(read_evaluation(run) for run in open_runs(root, names))
    first, pairs = evaluations[0], paired_runs(evaluations)
    return RunComparison(
        evaluations=evaluations,
        settings=[
            *differing_slices([one.details["data"]["slices"] for one in evaluations]),
            *differing([one.run for one in evaluations]),
        ],
        pairs=pairs,
        changes=changes(first, pairs),
        groups=[_groups(first, pair) if pair else {} for pair in pairs],
        seconds=[_seconds(root, one) for one in evaluations],
    )


def notes(comparison: RunComparison) -> list[str]:
    """Return what a reader must know about each run after the first: whether it can be paired, and on what."""
    first, sentences = comparison.evaluations[0], []
    for other, pair in zip(comparison.evaluations[1:], comparison.pairs, strict=True):
        if pair is None:
            hashes = " and ".join(one.metrics["candidates_sha256"][:12] for one in (first, other))
            sentences.append(
                f"{first.label} and {other.label} ranked different candidates ({hashes}): no paired test is possible, "
                "and their means are of different questions."
            )
        else:
            sentences.append(f"{first.label} and {other.label} are paired on {len(pair.facts):,} common test samples.")
    return sentences


def _groups(first: Evaluation, pair: Pair) -> dict[str, list[GroupChange]]:
    changed = [name for name in reversed(first.agents) if name in pair.systems]
    return {name: group_changes(first, pair, name) for name in changed}


def _seconds(root: Path, evaluation: Evaluation) -> dict[str, float]:
    manifest = evaluation.run.manifest
    return run_metrics(root, manifest["recipe"], stage=STAGE, fingerprint=manifest["fingerprint"])
