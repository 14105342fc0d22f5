"""Decides whether the challenger becomes the champion, does it, and records why: also where it says no."""

import dataclasses
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from recops.config.recipe import Recipe
from recops.errors import InputError
from recops.evaluate.statistics import Difference
from recops.paths import Layout
from recops.registry.bundle import POLICY, Bundle, open_bundle
from recops.registry.model_registry import (
    CHALLENGER,
    CHAMPION,
    ROLLED_BACK,
    ModelRegistry,
    Version,
    one_at_a_time,
    registry_run,
)
from recops.registry.newest import Newest
from recops.registry.played import Played, played_on
from recops.registry.register import LATENCY_P95
from recops.registry.verdict import (
    Condition,
    Limits,
    above_random_condition,
    all_hold,
    difference_in_ndcg,
    gain_over_random,
    limit_conditions,
    non_inferior_condition,
    untouched_condition,
)
from recops.tracking import MlflowTracker, open_client

Outcome = Literal["promoted", "refused", "unchanged"]


@dataclass(frozen=True)
class Decision:
    """What was decided of a challenger, and why.

    Attributes:
        outcome: `promoted`, `refused` (the champion stays), `unchanged` (the challenger is the champion already).
        challenger, champion: version numbers; None where nobody was champion.
        run_id: the run in MLflow that records the decision.
    """

    recipe: str
    outcome: Outcome
    challenger: int
    champion: int | None
    conditions: tuple[Condition, ...]
    run_id: str


@dataclass(frozen=True)
class _Contender:
    """A version with its files, and what it does on the newest candidates."""

    version: Version
    bundle: Bundle
    played: Played


@dataclass(frozen=True)
class _Judged:
    """What the conditions say, the numbers behind them, and when each model played the candidates."""

    conditions: list[Condition]
    numbers: dict[str, float]
    played: dict[str, str]


def promote(layout: Layout, recipe: Recipe) -> Decision:
    """Let the challenger and the champion play the newest candidates, decide, and record the decision in MLflow.

    Raises:
        InputError: there is no challenger, or an artefact or a file of a model is missing or damaged.
    """
    with one_at_a_time(layout.root, recipe.name) as place, tempfile.TemporaryDirectory(dir=place) as temporary:
        registry = ModelRegistry(layout.root, recipe.name)
        challenger, champion = _versions(registry)
        newest = Newest.of(layout, recipe)
        tags = {"candidates_sha256": newest.candidates_sha256, **_version_tags(challenger, champion)}
        parameters = recipe.promotion.model_dump()
        with registry_run(layout.root, recipe.name, action="promote", parameters=parameters, tags=tags) as tracker:
            is_same = champion is not None and champion.number == challenger.number
            judged = _judge(registry, newest, challenger, None if is_same else champion, Path(temporary))
            decision = Decision(
                recipe.name,
                "unchanged" if is_same else "promoted" if all_hold(judged.conditions) else "refused",
                challenger.number,
                champion.number if champion else None,
                tuple(judged.conditions),
                tracker.run_id,
            )
            _record(layout.root, tracker, decision, judged)
        _act(registry, decision)
        return decision


def _versions(registry: ModelRegistry) -> tuple[Version, Version | None]:
    """Return the challenger, and the champion if there is one."""
    challenger = registry.aliased(CHALLENGER)
    if challenger is None:
        step = f"Register the recipe's policy first: recops register {registry.name}"
        raise InputError(registry.name, found="no challenger", expected="a registered model", next_step=step)
    return challenger, registry.aliased(CHAMPION)


def _judge(
    registry: ModelRegistry, newest: Newest, challenger: Version, champion: Version | None, folder: Path
) -> _Judged:
    one = _contender(registry, newest, challenger, folder / CHALLENGER)
    rolled_back = challenger.tags.get(ROLLED_BACK) == "true"
    conditions = [
        Condition("never rolled back", "it was" if rolled_back else "it was not", "it was not", not rolled_back),
        _untouched(newest, CHALLENGER, one),
    ]
    numbers = {"challenger_invalid_fraction": one.played.invalid_fraction}
    played = {CHALLENGER: _when(one.played)}
    if champion is None:
        gain = _gain(newest, one)
        conditions.append(above_random_condition(gain))
        numbers |= {f"above_random_{key}": value for key, value in dataclasses.asdict(gain).items()}
    else:
        other = _contender(registry, newest, champion, folder / CHAMPION)
        difference = _difference(newest, one.played, other.played)
        conditions += [
            _untouched(newest, CHAMPION, other),
            non_inferior_condition(difference, newest.recipe.promotion.margin),
        ]
        numbers |= {f"difference_{key}": value for key, value in dataclasses.asdict(difference).items()}
        numbers["champion_invalid_fraction"] = other.played.invalid_fraction
        played[CHAMPION] = _when(other.played)
    return _Judged([*conditions, *limit_conditions(_limits(one), newest.recipe.promotion)], numbers, played)


def _when(played: Played) -> str:
    return "for this decision" if played.was_now else "in its own evaluation"


def _contender(registry: ModelRegistry, newest: Newest, version: Version, folder: Path) -> _Contender:
    files, data = folder / "files", folder / "data"
    files.mkdir(parents=True)
    data.mkdir()
    bundle = open_bundle(registry.download(version, files) / "artifacts" / "bundle")
    return _Contender(version, bundle, played_on(newest, bundle, data))


def _untouched(newest: Newest, who: str, contender: _Contender) -> Condition:
    return untouched_condition(who, newest.why_trained_on(contender.bundle.layout.artefact("validated_splits")))


def _difference(newest: Newest, one: Played, other: Played) -> Difference:
    config, seed = newest.recipe.evaluation_reports, newest.recipe.seed
    return difference_in_ndcg(one.ranks, other.ranks, newest.users, config=config, seed=seed)


def _gain(newest: Newest, one: _Contender) -> Difference:
    config, seed, num_ranked = newest.recipe.evaluation_reports, newest.recipe.seed, one.bundle.agent.num_ranked
    counts = newest.num_candidates
    return gain_over_random(one.played.ranks, counts, newest.users, num_ranked=num_ranked, config=config, seed=seed)


def _limits(challenger: _Contender) -> Limits:
    """What was measured of the challenger; planted texts by its own evaluation, latency when it was registered."""
    injection: dict[str, Any] = challenger.bundle.metrics["injection"]
    measured = challenger.bundle.measures_injection
    gained = float(injection.get(POLICY, {}).get("gained", 0.0)) if measured else None
    return Limits(challenger.played.invalid_fraction, gained, float(challenger.version.tags[LATENCY_P95]))


def _version_tags(challenger: Version, champion: Version | None) -> dict[str, str]:
    told = {CHALLENGER: str(challenger.number)}
    return {**told, CHAMPION: str(champion.number)} if champion else told


def _record(root: Path, tracker: MlflowTracker, decision: Decision, judged: _Judged) -> None:
    """Write the decision and its reasons on the run: as tags to search by, and as a table to read."""
    broken = [condition.name for condition in decision.conditions if not condition.holds]
    client = open_client(root)
    for key, value in {
        "decision": decision.outcome,
        "reasons": "; ".join(broken) or "every condition holds",
        "mlflow.note.content": markdown_table(decision.conditions),
        **{f"{who}_played": when for who, when in judged.played.items()},
    }.items():
        client.set_tag(tracker.run_id, key, value)
    tracker.log_metrics(judged.numbers, step=None)


def _act(registry: ModelRegistry, decision: Decision) -> None:
    """Tell the version what was decided, then move the alias; where nothing was to decide, nothing changes."""
    if decision.outcome == "unchanged":
        return
    broken = "; ".join(condition.name for condition in decision.conditions if not condition.holds)
    tags = {"decision": decision.outcome, "decision_reasons": broken or "every condition holds"}
    registry.tag(decision.challenger, {**tags, "decision_run": decision.run_id})
    if decision.outcome == "promoted":
        registry.crown(decision.challenger)


def markdown_table(conditions: Sequence[Condition]) -> str:
    """Return conditions as a table: what was found, what is allowed, whether it holds."""
    lines = ["| condition | found | allowed | holds |", "|---|---|---|---|"]
    for one in conditions:
        lines.append(f"| {one.name} | {one.found} | {one.allowed} | {'yes' if one.holds else '**no**'} |")
    return "\n".join(lines)
