"""Registers a recipe's final policy as a model that MLflow loads and serves, and makes it the challenger."""

import importlib.metadata
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from packaging.requirements import Requirement

from recops.artifacts import MANIFEST, read_json
from recops.config.recipe import Recipe
from recops.data.samples import SampleStore
from recops.paths import Layout
from recops.registry.bundle import EVALUATION, POLICY, Bundle, open_bundle, write_bundle
from recops.registry.latency import Latency, measure_latency, typical_requests
from recops.registry.model_registry import BUNDLE_SHA256, ModelRegistry, Version, one_at_a_time, registry_run
from recops.tracking import open_client, prepare_store, run_that_made
from recops.versioning import CODE_ROOT, PACKAGE

LATENCY_P95 = "latency_p95_seconds"
_MODEL_CODE = Path(__file__).with_name("model_code.py")


@dataclass(frozen=True)
class Registered:
    """A registered version; `is_new` unless the same model was registered before."""

    version: Version
    is_new: bool


def register(layout: Layout, recipe: Recipe) -> Registered:
    """Register what lies in the recipe's artefacts, and point `challenger` to it.

    A model that was registered before is not registered twice: it becomes the challenger again.

    Raises:
        InputError: as `write_bundle`.
    """
    with one_at_a_time(layout.root, recipe.name) as place, tempfile.TemporaryDirectory(dir=place) as temporary:
        registry, folder = ModelRegistry(layout.root, recipe.name), Path(temporary)
        digest = write_bundle(layout, recipe, folder / "bundle")
        known = registry.find(digest)
        version = known or _registered(layout, registry, folder, digest)
        registry.challenge(version.number)
        return Registered(version, is_new=known is None)


def _registered(layout: Layout, registry: ModelRegistry, folder: Path, digest: str) -> Version:
    """Save the model, ask it some requests as a server would, and give it to MLflow."""
    bundle = open_bundle(folder / "bundle")
    requests = _requests(bundle)
    model = folder / "model"
    save_model(model, folder / "bundle", requests[0])
    with loaded(model) as served:
        latency = measure_latency(served.predict, requests)
    tags = {BUNDLE_SHA256: digest, **_origins(layout), **_told(bundle, latency)}
    parameters = {"num_latency_requests": latency.num_requests}
    with registry_run(layout.root, registry.name, action="register", parameters=parameters, tags=tags) as tracker:
        return _uploaded(layout.root, registry, model, run_id=tracker.run_id, tags=tags)


def save_model(folder: Path, bundle: Path, example: dict[str, Any]) -> None:
    """Write a bundle as a model of MLflow's: models from code, with the code of this checkout and pinned libraries."""
    import mlflow.pyfunc
    import pandas as pd
    from mlflow.models import ModelSignature

    from recops.registry.served_model import BUNDLE, INPUTS, OUTPUTS

    mlflow.pyfunc.save_model(
        path=str(folder),
        python_model=str(_MODEL_CODE),
        artifacts={BUNDLE: str(bundle)},
        code_paths=[str(CODE_ROOT / PACKAGE)],
        signature=ModelSignature(inputs=INPUTS, outputs=OUTPUTS),
        input_example=pd.DataFrame([example]),
        pip_requirements=pinned_libraries(),
    )


def pinned_libraries() -> list[str]:
    """Return the libraries that the package needs, in the versions that are installed."""
    needed = [Requirement(text) for text in importlib.metadata.requires(PACKAGE) or ()]
    names = sorted(one.name for one in needed if one.marker is None or one.marker.evaluate({"extra": ""}))
    # Without the local part of a version (2.13.0+cpu), which names a build that package indexes do not offer.
    return [f"{name}=={importlib.metadata.version(name).partition('+')[0]}" for name in names]


@contextmanager
def loaded(folder: Path) -> Iterator[Any]:
    """Give the model in a folder as a server opens it; the path of its code does not stay behind."""
    import mlflow.pyfunc

    before = list(sys.path)
    try:
        yield mlflow.pyfunc.load_model(str(folder))
    finally:
        sys.path[:] = before


def _requests(bundle: Bundle) -> list[dict[str, Any]]:
    layout, recipe = bundle.layout, bundle.recipe
    store = SampleStore.load(layout.artefact("validated_splits"), layout.artefact("sasrec_embeddings"))
    return typical_requests(store, recipe.promotion.num_latency_requests, recipe.seed)


def _origins(layout: Layout) -> dict[str, str]:
    """Which runs made the policy and its evaluation, as far as this store of MLflow knows them."""
    fingerprints = {
        stage: read_json(layout.artefact(stage) / MANIFEST)["fingerprint"] for stage in (POLICY, EVALUATION)
    }
    runs = {
        stage: run_that_made(layout.root, layout.recipe, stage=stage, fingerprint=fingerprint)
        for stage, fingerprint in fingerprints.items()
    }
    return {
        **{f"{stage}_fingerprint": fingerprint for stage, fingerprint in fingerprints.items()},
        **{f"{stage}_run": run for stage, run in runs.items() if run},
    }


def _told(bundle: Bundle, latency: Latency) -> dict[str, str]:
    metrics = bundle.metrics
    return {
        "candidates_sha256": metrics["candidates_sha256"],
        "ndcg_at_10": f"{metrics['systems'][POLICY]['ndcg@10']['mean']:.4f}",
        "latency_p50_seconds": f"{latency.p50_seconds:.4f}",
        LATENCY_P95: f"{latency.p95_seconds:.4f}",
        "latency_num_requests": str(latency.num_requests),
    }


def _uploaded(root: Path, registry: ModelRegistry, folder: Path, *, run_id: str, tags: dict[str, str]) -> Version:
    """Give a saved model to MLflow; a copy that was broken off is marked as failed and never becomes a version."""
    from mlflow.models import Model

    client = open_client(root)
    experiment_id = prepare_store(root, f"{registry.name}.registry")
    logged = client.create_logged_model(experiment_id, name=registry.name, source_run_id=run_id, tags=tags)
    try:
        description = Model.load(str(folder))
        description.model_id, description.run_id = logged.model_id, run_id
        description.save(str(folder / "MLmodel"))
        client.log_model_artifacts(logged.model_id, str(folder))
    except BaseException:
        client.finalize_logged_model(logged.model_id, "FAILED")
        raise
    client.finalize_logged_model(logged.model_id, "READY")
    _log_numbers(client, run_id, logged.model_id, tags, ("ndcg_at_10", "latency_p50_seconds", LATENCY_P95))
    return registry.create(artifacts=logged.artifact_location, run_id=run_id, model_id=logged.model_id, tags=tags)


def _log_numbers(client: Any, run_id: str, model_id: str, tags: dict[str, str], names: Sequence[str]) -> None:
    from mlflow.entities import Metric

    now = int(time.time() * 1000)
    client.log_batch(run_id, metrics=[Metric(name, float(tags[name]), now, 0, model_id=model_id) for name in names])
