"""Aliases and their history, in a real store; the versions hold nothing."""

from pathlib import Path

import pytest
from mlflow import MlflowClient

from recops.errors import InputError
from recops.paths import Layout
from recops.registry.model_registry import ROLLED_BACK, ModelRegistry
from recops.tracking import store_uri
from tests.recops.registry.project import NAME


@pytest.fixture
def registry(layout: Layout) -> ModelRegistry:
    registry = ModelRegistry(layout.root, NAME)
    client = MlflowClient(tracking_uri=store_uri(layout.root))
    client.create_registered_model(NAME)
    for number in range(1, 5):
        client.create_model_version(NAME, f"file:///nothing/{number}", tags={"bundle_sha256": f"hash {number % 2}"})
    return registry


def champion(registry: ModelRegistry) -> int | None:
    found = registry.aliased("champion")
    return found.number if found else None


def by_hand(root: Path, number: int) -> None:
    MlflowClient(tracking_uri=store_uri(root)).set_registered_model_alias(NAME, "champion", str(number))


def test_a_model_that_nobody_registered_has_no_aliases(layout: Layout) -> None:
    assert ModelRegistry(layout.root, "unknown").aliased("challenger") is None


def test_champions_are_taken_back_one_by_one(registry: ModelRegistry) -> None:
    assert champion(registry) is None
    for number in (1, 3, 4):
        registry.crown(number)
    assert champion(registry) == 4
    assert registry.uncrown() == (3, 4)
    assert registry.uncrown() == (1, 3)
    assert champion(registry) == 1
    assert registry.version(4).tags[ROLLED_BACK] == "true"
    with pytest.raises(InputError, match="version 1, and no champion before it"):
        registry.uncrown()


def test_without_a_champion_nothing_is_taken_back(registry: ModelRegistry) -> None:
    with pytest.raises(InputError, match="found no champion"):
        registry.uncrown()


def test_a_champion_that_a_person_chose_is_remembered(registry: ModelRegistry, layout: Layout) -> None:
    registry.crown(1)
    by_hand(layout.root, 2)
    registry.crown(3)
    assert registry.uncrown() == (2, 3)
    assert registry.uncrown() == (1, 2)
    by_hand(layout.root, 4)
    assert registry.uncrown() == (1, 4)


def test_a_version_is_found_by_its_hash_the_newest_first(registry: ModelRegistry) -> None:
    found = registry.find("hash 1")
    assert found is not None
    assert (found.number, found.artifacts) == (3, "file:///nothing/3")
    assert registry.find("hash 2") is None
