"""The champion's score when it was registered, and the newest one on data that came later: read from MLflow alone."""

from dataclasses import dataclass
from pathlib import Path

from recops.registry.model_registry import CHAMPION, ModelRegistry
from recops.tracking import newest_run

MEASURE = "measure"
"""Value of the tag `action` of a run that measured the champion by itself."""
SCORE = "ndcg_at_10"
"""Name of the metric of such a run, and of the tag of a registered version."""


@dataclass(frozen=True)
class ChampionScores:
    """NDCG@10 of the champion, on the test slice that it was evaluated on and on the newest that it was measured on."""

    version: int
    registered: float
    newest: float
    run_id: str

    @property
    def drop(self) -> float:
        """What it has lost; negative where it gained."""
        return self.registered - self.newest


def champion_scores(root: Path, recipe: str) -> ChampionScores | str:
    """Return the scores of a recipe's champion, or why there are none to compare."""
    champion = ModelRegistry(root, recipe).aliased(CHAMPION)
    if champion is None:
        return "no champion"
    if SCORE not in champion.tags:
        return f"champion version {champion.number} has no tag {SCORE}"
    condition = f"tags.action = '{MEASURE}' and tags.{CHAMPION} = '{champion.number}'"
    run = newest_run(root, f"{recipe}.registry", condition)
    if run is None:
        return f"champion version {champion.number} was not measured on fresh data yet"
    return ChampionScores(champion.number, float(champion.tags[SCORE]), run.data.metrics[SCORE], run.info.run_id)
