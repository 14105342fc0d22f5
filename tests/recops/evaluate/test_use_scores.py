import json
from collections.abc import Sequence

import polars as pl
import pytest

from recops.artifacts import write_manifest
from recops.config.recipe import Recipe
from recops.evaluate import recommend as recommend_module
from recops.evaluate import retrieve as retrieve_module
from recops.evaluate.use_scores import UseScores, measure_use, use_table, write_use_scores
from recops.paths import Layout
from recops.records import Answer, Episode, Task
from recops.retrieval.evidence import Evidence
from tests.recops.evaluate.test_recommend import recipe, recipe_with

__all__ = ["recipe"]  # a fixture
NOW = 10**13


@pytest.fixture
def planted(layout: Layout, evidence: Evidence) -> Layout:
    """Requests of two users, one of whom the data does not have, and complements with one unknown item."""
    folder = layout.artefact("raw_data")
    folder.mkdir(parents=True, exist_ok=True)
    requests = {
        "user_id": ["u1", "nobody", "u2"],
        "timestamp": [NOW] * 3,
        "request": ["a red cable", "a cable", "a red cable"],
        "item_id": ["i30", "i30", "gone"],
    }
    pl.DataFrame(requests).write_parquet(folder / "requests.parquet")
    pairs = {"item_id": ["i1", "i1", "i2", "gone"], "complement_id": ["i3", "i4", "gone", "i1"]}
    pl.DataFrame(pairs).write_parquet(folder / "complements.parquet")
    write_manifest(folder, {})
    return layout


def measured(layout: Layout, recipe: Recipe) -> UseScores:
    return measure_use(layout, recipe, "ppr_model", slice_name="test", max_samples=5)


def test_every_use_is_measured_and_what_is_not_in_the_data_is_counted(planted: Layout, recipe: Recipe) -> None:
    found = measured(planted, recipe)

    assert set(found.scores) == {"next item", "requests", "complements"}
    assert [(one.num_asked, one.num_left_out) for one in found.scores.values()] == [(5, 0), (1, 2), (1, 2)]
    for one in found.scores.values():
        shares = (one.recall_at_50, one.hit_rate_retrieved, one.hit_rate_agent, *one.recall_by_list.values())
        assert all(0 <= share <= 1 for share in shares)
        assert one.hit_rate_agent <= one.recall_at_50
    assert measured(planted, recipe) == found
    assert use_table(found).count("\n") == 4
    path = write_use_scores(planted, found)
    assert json.loads(path.read_text(encoding="utf-8"))["scores"]["next item"]["num_asked"] == 5


def test_an_agent_that_knows_the_target_hits_what_was_retrieved_and_no_more(
    planted: Layout, evidence: Evidence, monkeypatch: pytest.MonkeyPatch
) -> None:
    def knowing(*_: object, **__: object) -> object:
        def play(tasks: Sequence[Task]) -> list[Episode]:
            return [_target_first(task) for task in tasks]

        return play

    monkeypatch.setattr(recommend_module, "player_of", knowing)
    monkeypatch.setattr(retrieve_module, "NUM_RETRIEVED", 12)
    found = measured(planted, recipe_with()).scores["next item"]

    assert found.hit_rate_agent == found.recall_at_50 < 1
    assert found.invalid_windows == 0


def _target_first(task: Task) -> Episode:
    order = sorted(task.candidates, key=lambda item: item != task.sample.target)
    return Episode(task, (), (), Answer(tuple(order[:4]), None), {}, 0)
