from pathlib import Path

import pytest

from recops.artifacts import write_manifest
from recops.paths import Layout
from recops.retrieval.evidence import Evidence
from recops.tools.toolbox import Toolbox
from recops.train.models import save_policy
from tests.recops.agent.world import AGENT, tiny_policy
from tests.recops.evaluate.small_pipeline import write_pipeline


@pytest.fixture(scope="package")
def layout(tmp_path_factory: pytest.TempPathFactory) -> Layout:
    """A small pipeline whose PPR model is a real policy, trained just enough to call tools."""
    layout = write_pipeline(tmp_path_factory.mktemp("pipeline"), {"random": 5, "sasrec": 2})
    folders = layout.artefact("validated_splits"), layout.artefact("sasrec_embeddings")
    policy = tiny_policy(Toolbox.load(*folders, AGENT, seed=3), steps=30)
    folder = layout.artefact("ppr_model")
    save_policy(policy.model, policy.tokenizer, folder, max_new_tokens=AGENT.max_completion_tokens)
    write_manifest(folder, {})
    return layout


@pytest.fixture(scope="package")
def evidence(layout: Layout) -> Evidence:
    return Evidence.load(layout.artefact("validated_splits"), layout.artefact("sasrec_embeddings"), AGENT, 3)


@pytest.fixture
def policy_folder(layout: Layout) -> Path:
    return layout.artefact("ppr_model")
