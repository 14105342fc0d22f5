"""What the champion does on the newest candidates, as the data comes in: measured by itself, beside no challenger."""

import tempfile
from dataclasses import dataclass
from pathlib import Path

from recops.artifacts import content_sha256, verify
from recops.config.recipe import Recipe
from recops.data.samples import HARD_CANDIDATES
from recops.errors import InputError
from recops.evaluate.paired import MAIN_METRIC
from recops.metrics import METRICS
from recops.paths import Layout
from recops.registry.bundle import Bundle, open_bundle
from recops.registry.model_registry import CHAMPION, ModelRegistry, one_at_a_time, registry_run
from recops.registry.newest import Newest
from recops.registry.played import played_on
from recops.registry.scores import MEASURE, SCORE


@dataclass(frozen=True)
class FreshScore:
    """The champion on the newest candidates.

    Attributes:
        version: of the registered model.
        ndcg_at_10: mean over the samples that an evaluation would choose.
        invalid_fraction: share of invalid answers.
        run_id: the run in MLflow that holds them.
    """

    version: int
    ndcg_at_10: float
    invalid_fraction: float
    run_id: str


def measure_champion(layout: Layout, recipe: Recipe) -> FreshScore:
    """Let the champion play the newest candidates, and record what it did in MLflow.

    Raises:
        InputError: there is no champion, it was trained on these candidates, they wait for a newer SASRec, or a file of
            data or model is damaged.
    """
    with one_at_a_time(layout.root, recipe.name) as place, tempfile.TemporaryDirectory(dir=place) as temporary:
        registry = ModelRegistry(layout.root, recipe.name)
        champion = registry.aliased(CHAMPION)
        if champion is None:
            step = f"Promote a version: recops promote {recipe.name}"
            raise InputError(recipe.name, found="no champion", expected="a promoted model", next_step=step)
        _check_candidates(layout)
        newest = Newest.of(layout, recipe)
        files, data = (Path(temporary) / name for name in ("files", "data"))
        files.mkdir()
        data.mkdir()
        tags = {CHAMPION: str(champion.number), "candidates_sha256": newest.candidates_sha256}
        with registry_run(layout.root, recipe.name, action=MEASURE, parameters={}, tags=tags) as tracker:
            bundle = open_bundle(registry.download(champion, files) / "artifacts" / "bundle")
            _check_untouched(newest, bundle)
            played = played_on(newest, bundle, data)
            score = float(METRICS[MAIN_METRIC](played.ranks).mean())
            tracker.log_metrics({SCORE: score, "invalid_fraction": played.invalid_fraction}, step=None)
            return FreshScore(champion.number, score, played.invalid_fraction, tracker.run_id)


def _check_candidates(layout: Layout) -> None:
    """Hard candidates are chosen by SASRec: one of older splits has none for the newest samples."""
    sasrec, splits = layout.artefact("sasrec_embeddings"), layout.artefact("validated_splits")
    read = verify(sasrec)["inputs"]["validated_splits"]
    if (sasrec / HARD_CANDIDATES).is_file() and read != content_sha256(verify(splits)["files"]):
        step = f"Run: recops run --recipe {layout.recipe} --from sasrec_embeddings"
        expected = "those of the newest splits"
        raise InputError(sasrec, found="hard candidates of older splits", expected=expected, next_step=step)


def _check_untouched(newest: Newest, bundle: Bundle) -> None:
    why = newest.why_trained_on(bundle.layout.artefact("validated_splits"))
    if why:
        step = "Refresh the data with rows that are later than its training."
        raise InputError("champion", found=why, expected="candidates that are later than its training", next_step=step)
