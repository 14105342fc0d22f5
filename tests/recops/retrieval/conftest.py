from pathlib import Path

import pytest

from recops.artifacts import write_manifest
from recops.retrieval.evidence import Evidence
from recops.retrieval.fit import run_sasrec
from tests.recops.retrieval.small_splits import AGENT, SASREC, stage_io, write_splits


@pytest.fixture(scope="session")
def fitted(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A root with `validated_splits` and a SASRec fitted on them."""
    root = tmp_path_factory.mktemp("fitted")
    io = stage_io(root, "sasrec_embeddings")
    write_splits(io.layout.artefact("validated_splits"))
    config = SASREC.model_copy(update={"max_epochs": 25, "patience_epochs": 25})
    run_sasrec(io, config, seed=7)
    write_manifest(io.out, {})
    return root


@pytest.fixture(scope="session")
def evidence(fitted: Path) -> Evidence:
    layout = stage_io(fitted, "sasrec_embeddings").layout
    return Evidence.load(layout.artefact("validated_splits"), layout.artefact("sasrec_embeddings"), AGENT, 7)
