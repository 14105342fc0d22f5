"""The target, planted wherever a tool must not look: every answer stays as it was, until a rule is broken."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any, get_args

import numpy as np
import polars as pl
import pytest

from recops.agent.prompts import task_messages
from recops.config.agent import CatalogueField
from recops.data.samples import SampleStore
from recops.errors import InputError
from recops.records import Sample, Task
from recops.retrieval.counts import EventCounts, MeanRatings
from recops.retrieval.evidence import Evidence
from recops.retrieval.item_evidence import ItemEvidence
from recops.retrieval.item_groups import ItemGroups
from recops.retrieval.relations import TakenTogether
from recops.tools.toolbox import TOOLS, Toolbox
from tests.recops.tools.calls import CALLS
from tests.recops.tools.shop import AGENT, COLD_ITEM, LENGTH, interactions, items, load_shop, tasks, write_shop

END_OF_TIME = 2**60
OWN = ("get_user_profile", "get_user_history", "get_session_behavior", "get_rating_behavior", "analyze_candidates",
       "rank_by_next_item", "rank_by_similarity")  # fmt: skip


def drawn(toolbox: Toolbox, number: int) -> list[Task]:
    """A seeded few of the samples, with ties and cold targets among them."""
    everything = tasks(toolbox)
    few = np.random.default_rng(5).choice(len(everything), number, replace=False)
    tied = next(task for task in everything if task.sample.history[-1].timestamp == task.sample.timestamp)
    cold = next(task for task in everything if task.sample.target == COLD_ITEM)
    return [*(everything[int(one)] for one in few), tied, cold]


def planted(task: Task) -> pl.DataFrame:
    """The interactions with the target in every row from the sample's time on, whoever's it is, but the history's."""
    rows, later = interactions(), (pl.col("timestamp") >= task.sample.timestamp) & ~_own_history(task.sample)
    changed = rows.with_columns(
        pl.when(later).then(_other_than(task.sample)).otherwise(pl.col("item")).cast(pl.Int32).alias("item"),
        pl.when(later).then(5.0).otherwise(pl.col("rating")).cast(pl.Float32).alias("rating"),
    )
    assert not changed.equals(rows)
    return changed


def _own_history(sample: Sample) -> pl.Expr:
    first = sample.user * LENGTH
    return pl.int_range(pl.len()).is_between(first, first + len(sample.history) - 1)


def _other_than(sample: Sample) -> pl.Expr:
    """The target everywhere, and in the row of the target itself another candidate."""
    other = next(item for item in sample.candidates if item != sample.target)
    own_row = sample.user * LENGTH + len(sample.history)
    return pl.when(pl.int_range(pl.len()) == own_row).then(other).otherwise(sample.target)


def answers(toolbox: Toolbox, task: Task, names: tuple[str, ...] = tuple(TOOLS)) -> list[str]:
    return [toolbox.call(task, *call) for call in CALLS if call[0] in names]


def same_sample(toolbox: Toolbox, task: Task) -> Task:
    return Task(toolbox.store.sample(task.sample.sample_id), task.candidates, task.direction)


def starred(task: Task) -> pl.DataFrame:
    """The catalogue, whose average rating is of a day after everything: it tells the target."""
    stars = pl.when(pl.col("item") == task.sample.target).then(5.0).otherwise(1.0)
    return items().with_columns(stars.cast(pl.Float32).alias("average_rating"))


def prompt(toolbox: Toolbox, task: Task) -> list[dict[str, Any]]:
    """The prompt with every field that a recipe may show, in history and candidates."""
    fields = (*get_args(CatalogueField), "rating")
    everything = AGENT.model_copy(update={"history_fields": fields, "candidate_fields": fields})
    return task_messages(task, toolbox, everything)


def test_neither_tool_nor_prompt_sees_what_is_planted_from_the_sample_on(shop: Toolbox, tmp_path: Path) -> None:
    for number, task in enumerate(drawn(shop, 10)):
        after = load_shop(tmp_path / str(number), rows=planted(task), catalogue=starred(task))
        assert answers(after, same_sample(after, task)) == answers(shop, task), task.sample.sample_id
        assert prompt(after, same_sample(after, task)) == prompt(shop, task), task.sample.sample_id


def test_the_ratings_that_a_prompt_shows_are_those_before_the_sample(shop: Toolbox) -> None:
    for task in drawn(shop, 10):
        earlier = interactions().filter(pl.col("timestamp") < task.sample.timestamp)
        means = dict(earlier.group_by("item").agg(pl.col("rating").mean()).iter_rows())
        lines = [line for line in prompt(shop, task)[-1]["content"].splitlines() if " | " in line]
        items_shown = [*(event.item for event in task.sample.history[-AGENT.history_length :]), *task.candidates]
        assert len(lines) == len(items_shown)
        for line, item in zip(lines, items_shown, strict=True):
            expected = f"{means[item]:.1f} stars" if means.get(item) else "unknown"
            assert line.split(" | ")[-1] == expected


def test_the_prompt_sees_the_plant_where_ratings_know_no_moment(
    shop: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    few = drawn(shop, 3)
    rows = [planted(task) for task in few]
    endless_ratings(monkeypatch)
    before = load_shop(tmp_path / "before")
    afters = [load_shop(tmp_path / str(number), rows=one) for number, one in enumerate(rows)]
    pairs = [(prompt(before, task), prompt(after, task)) for after, task in zip(afters, few, strict=True)]
    assert any(one != other for one, other in pairs)


@pytest.mark.parametrize("fields", ["history_fields", "candidate_fields", "tool_fields"])
def test_a_rating_where_nobody_rated_is_refused(fields: str, tmp_path: Path) -> None:
    without = interactions().with_columns(pl.lit(None, pl.Float32).alias("rating"))
    plain = dict.fromkeys(("history_fields", "candidate_fields", "tool_fields"), ("title",))
    load_shop(tmp_path / "plain", AGENT.model_copy(update=plain), rows=without)
    asked = AGENT.model_copy(update={**plain, fields: ("title", "rating")})
    with pytest.raises(InputError, match=f"agent.{fields}: found no rating in any interaction"):
        load_shop(tmp_path / "asked", asked, rows=without)


def whole_history(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = SampleStore.sample
    monkeypatch.setattr(
        SampleStore,
        "sample",
        lambda self, *args: dataclasses.replace(one := kept(self, *args), history=self._events_of(one.user)),
    )


def endless_counts(monkeypatch: pytest.MonkeyPatch) -> None:
    before, within = EventCounts.before, EventCounts.within
    monkeypatch.setattr(EventCounts, "before", lambda self, items, _: before(self, items, END_OF_TIME))
    monkeypatch.setattr(EventCounts, "within", lambda self, items, start, _: within(self, items, start, END_OF_TIME))


def endless_ratings(monkeypatch: pytest.MonkeyPatch) -> None:
    before = MeanRatings.before
    monkeypatch.setattr(MeanRatings, "before", lambda self, items, _: before(self, items, END_OF_TIME))


def endless_events_of_others(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = Evidence.similar_users
    monkeypatch.setattr(
        Evidence,
        "similar_users",
        lambda self, sample, items: kept(self, dataclasses.replace(sample, timestamp=END_OF_TIME), items),
    )


def endless_relations(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = TakenTogether.before
    monkeypatch.setattr(TakenTogether, "before", lambda self, item, _: kept(self, item, END_OF_TIME))


def everything_is_there(monkeypatch: pytest.MonkeyPatch) -> None:
    kept = ItemEvidence._found
    monkeypatch.setattr(
        ItemEvidence,
        "_found",
        lambda self, items, moment, limit: kept(self, items, dataclasses.replace(moment, timestamp=END_OF_TIME), limit),
    )


BREAKERS: tuple[tuple[Callable[[pytest.MonkeyPatch], None], tuple[str, ...]], ...] = (
    (whole_history, OWN),
    (endless_counts, ("get_item_info", "rank_by_popularity")),
    (endless_ratings, ("get_item_info",)),
    (endless_events_of_others, ("get_similar_users",)),
    (endless_relations, ("get_related_items", "rank_by_taken_together")),
    (everything_is_there, ("search_catalog",)),
)


def test_every_tool_that_reads_events_has_its_rule_broken_below() -> None:
    # Likeness of embeddings is a fitted table and nothing else: the next test is about those.
    assert {name for _, names in BREAKERS for name in names} == set(TOOLS) - {"get_similar_items"}


@pytest.mark.parametrize(("name", "breaker"), [(name, breaker) for breaker, names in BREAKERS for name in names])
def test_the_plant_is_seen_as_soon_as_the_rule_is_broken(
    name: str, breaker: Callable[[pytest.MonkeyPatch], None], shop: Toolbox, tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    few = drawn(shop, 3)
    rows = [planted(task) for task in few]
    breaker(monkeypatch)
    before = load_shop(tmp_path / "before")
    differ = []
    for number, task in enumerate(few):
        after = load_shop(tmp_path / str(number), rows=rows[number])
        one, other = (answers(box, same_sample(box, task), (name,)) for box in (before, after))
        differ.append(one != other)
    assert any(differ)


def fitted_answers(toolbox: Toolbox, task: Task) -> list[Any]:
    """What is fitted, of every tool that reads something fitted."""
    evidence, sample, every = toolbox.evidence, task.sample, range(1, toolbox.store.num_items + 1)
    catalogue, asked = evidence.catalogue, task.candidates[0]
    return [
        evidence.next_item(sample, task.candidates).tolist(),
        evidence.text_similarity(sample, every).tolist(),
        catalogue.similarity(asked, every).tolist(),
        catalogue.match("teal kettle by glenrock", every).tolist(),
        catalogue._groups["store"]().members(asked, 99).tolist(),
        catalogue._groups["category"]().members(asked, 99).tolist(),
    ]


def test_nothing_fitted_changes_with_what_came_after_the_fit(shop: Toolbox, tmp_path: Path) -> None:
    for number, task in enumerate(drawn(shop, 4)):
        readable = (pl.col("slice") == "tool_fit") | _own_history(task.sample)
        item = pl.when(readable).then(pl.col("item")).otherwise(task.sample.target).cast(pl.Int32)
        rows = interactions().with_columns(item.alias("item"))
        after = load_shop(tmp_path / str(number), rows=rows)
        np.testing.assert_equal(fitted_answers(after, task), fitted_answers(shop, task))


def test_the_order_in_a_store_would_change_if_it_were_fitted_on_all(
    shop: Toolbox, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        ItemEvidence,
        "_grouped",
        lambda self, shared: ItemGroups(
            self._store.items[shared], np.bincount(self._store.item, minlength=self._store.num_items + 1)
        ),
    )
    task = drawn(shop, 1)[0]
    leaky = load_shop(tmp_path / "leaky")
    assert fitted_answers(leaky, task) != fitted_answers(shop, task)


def test_a_cold_candidate_is_told_as_unknown_and_is_found_by_nobody_before_its_time(shop: Toolbox) -> None:
    cold = [task for task in tasks(shop) if task.sample.target == COLD_ITEM]
    assert cold
    for task in cold:
        name = "ABCDEF"[task.candidates.index(COLD_ITEM)]
        other = next(one for one in "ABCDEF" if one != name)
        for tool, arguments in (("rank_by_next_item", {}), ("get_similar_items", {"item": other})):
            lines = shop.call(task, tool, arguments).splitlines()
            unknown = [line for line in lines if line.startswith("Unknown:")]
            assert name in unknown[0].split()
    without = dataclasses.replace(cold[0], candidates=tuple(one for one in cold[0].candidates if one != COLD_ITEM))
    title = shop.store.items["title"][COLD_ITEM - 1]
    at_the_end = dataclasses.replace(without.sample, sample_id=-1, timestamp=END_OF_TIME)
    found_now = shop.call(without, "search_catalog", {"query": title}).partition("Also found:")[2]
    found_later = shop.call(
        dataclasses.replace(without, sample=at_the_end), "search_catalog", {"query": title}
    ).partition("Also found:")[2]
    assert title not in found_now
    assert found_later.splitlines()[1].startswith(title)


def test_words_of_items_that_the_fit_has_not_seen_change_no_statistic(shop: Toolbox, tmp_path: Path) -> None:
    splits, sasrec = write_shop(tmp_path)
    path = splits / "items.parquet"
    frame = pl.read_parquet(path).with_columns(
        pl.when(pl.col("item") == COLD_ITEM).then(pl.lit("kettle " * 50)).otherwise(pl.col("title")).alias("title")
    )
    frame.write_parquet(path)
    after = Toolbox.load(splits, sasrec, AGENT, seed=3)
    seen = range(1, COLD_ITEM)
    before_scores, after_scores = (box.evidence.catalogue.match("teal kettle", seen) for box in (shop, after))
    np.testing.assert_array_equal(before_scores, after_scores)
