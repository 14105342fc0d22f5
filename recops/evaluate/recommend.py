"""What the agent recommends to one user at the user's newest moment, with its reasons.

The candidates are closed, as everywhere: the frozen ones of the user's newest test sample, or, for a user without one,
items drawn as the negatives are, at the newest time of the data. Or they come from the whole catalogue: `retrieve`
finds fifty, and the agent ranks them in windows. Where the question says more than the history (a request, an item to
complete) both orders are merged, for retrieval knows what was asked. Nothing is measured here; `use_scores` does that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from recops.artifacts import verify
from recops.config.recipe import Recipe
from recops.data.samples import SampleStore
from recops.errors import InputError
from recops.evaluate.agent import AGENT_STAGES, player_of
from recops.evaluate.browser import Turn, item_category, item_title, turns
from recops.evaluate.moments import NEW_SAMPLE_ID, item_of, moment_of_item, newest_moment
from recops.evaluate.retrieve import merged, retrieve, retrieve_complements
from recops.evaluate.windows import Play, Ranked, rank_in_windows
from recops.paths import Layout
from recops.records import Sample, label
from recops.retrieval.evidence import Evidence
from recops.stage import StageName


@dataclass(frozen=True, slots=True)
class Asked:
    """What is asked for.

    Attributes:
        user_id: for whom; None only with `complete`.
        request: in words, empty for nothing.
        catalogue: rank what is retrieved from the whole catalogue, not a closed set.
        complete: an item id: what goes with it? None for what comes next.
    """

    user_id: str | None
    request: str = ""
    catalogue: bool = False
    complete: str | None = None


@dataclass(frozen=True, slots=True)
class RecommendedItem:
    """One item of a recommendation; `place` counts from 1.

    `label` is what the agent called the candidate in the episode that ranked the top, empty if it was not in it.
    """

    place: int
    label: str
    item_id: str
    title: str
    category: str


@dataclass(frozen=True, slots=True)
class Recommendation:
    """A ranked list and how the agent came to it.

    Attributes:
        user_id: for whom; empty where an item is completed for nobody in particular.
        items: best first; empty when the answer is invalid.
        history: titles of the latest items, oldest first, as many as the agent is shown.
        turns: thoughts, calls and tool answers of the episode that ranked the top, in order: the reasons.
        num_calls: tool calls made in it.
        num_ranked: how many candidates were ranked, and `num_episodes` in how many windows.
        timestamp: the moment, in milliseconds since 1970 (UTC).
        candidates: where they come from.
        error: why the answer is invalid, or None.
    """

    user_id: str
    policy_stage: str
    items: tuple[RecommendedItem, ...]
    history: tuple[str, ...]
    turns: tuple[Turn, ...]
    num_calls: int
    num_ranked: int
    num_episodes: int
    timestamp: int
    candidates: str
    error: str | None

    @property
    def invalid(self) -> bool:
        """Whether the agent gave no valid answer."""
        return self.error is not None


FROZEN, DRAWN, RETRIEVED = "frozen candidates of a test sample", "drawn candidates", "retrieved from the catalogue"


def recommend(layout: Layout, recipe: Recipe, asked: Asked, policy_stage: StageName) -> Recommendation:
    """Return what the policy of `policy_stage` recommends, greedily: the same every time.

    Raises:
        InputError: the user is unknown or has no history, the item is not in the catalogue, neither is given, the
            stage trains no policy, or an artefact is missing or damaged.
    """
    scene = open_scene(layout, recipe, policy_stage)
    store = scene.evidence.store
    if asked.complete is None and asked.user_id is None:
        step = "Give --user, or an item with --complete."
        raise InputError("user", found="nobody", expected="a user, or an item to complete", next_step=step)
    sample = None if asked.user_id is None else newest_moment(store, asked.user_id, recipe)
    if asked.complete is not None:
        item = item_of(store, asked.complete)
        sample = moment_of_item(store, item, sample)
        listed, source = retrieve_complements(scene.evidence, item, sample), RETRIEVED
    elif asked.catalogue:
        assert sample is not None
        listed, source = retrieve(scene.evidence, sample, recipe.agent, asked.request), RETRIEVED
    else:
        assert sample is not None
        listed, source = list(sample.candidates), FROZEN if sample.sample_id != NEW_SAMPLE_ID else DRAWN
    [ranked] = scene.rank([sample], [listed], [asked.request])
    says_more = source == RETRIEVED and bool(asked.request or asked.complete)
    order = merged([ranked.items, listed]) if says_more else list(ranked.episodes[-1].answer.ranking)
    found = _Found(asked.user_id or "", sample, source, ranked, order[: recipe.agent.num_ranked])
    return _recommendation(found, store, policy_stage, recipe)


@dataclass(frozen=True)
class Scene:
    """What recommending needs, opened once: the evidence and a policy that plays."""

    evidence: Evidence
    play: Play
    recipe: Recipe

    def rank(self, samples: Sequence[Sample], lists: Sequence[Sequence[int]], requests: Sequence[str]) -> list[Ranked]:
        """Rank each list, in windows of as many candidates as the policy was trained on."""
        window, step = self.recipe.validated_splits.candidates.num_candidates, self.recipe.agent.num_ranked
        return rank_in_windows(self.play, samples, lists, window=window, step=step, requests=requests)


def open_scene(layout: Layout, recipe: Recipe, policy_stage: StageName) -> Scene:
    """Open the artefacts and the policy behind recommendations.

    Raises:
        InputError: the stage trains no policy, or an artefact is missing or damaged.
    """
    if policy_stage not in AGENT_STAGES:
        step = f"Name one of {', '.join(AGENT_STAGES)}."
        raise InputError("policy", found=policy_stage, expected="a stage that trains a policy", next_step=step)
    splits, sasrec, policy = (
        _verified(layout, stage) for stage in ("validated_splits", "sasrec_embeddings", policy_stage)
    )
    evidence = Evidence.load(splits, sasrec, recipe.agent, recipe.seed)
    config = recipe.evaluation_reports
    play = player_of(
        policy,
        evidence,
        recipe.agent,
        seed=recipe.seed,
        batch_size=config.batch_size,
        constrain_answers=config.constrain_answers,
    )
    return Scene(evidence, play, recipe)


@dataclass(frozen=True)
class _Found:
    """What a recommendation is told from: for whom, when, the agent's windows and the list."""

    user_id: str
    sample: Sample
    source: str
    ranked: Ranked
    order: list[int]


def _recommendation(found: _Found, store: SampleStore, policy_stage: str, recipe: Recipe) -> Recommendation:
    ranked, sample, top = found.ranked, found.sample, found.ranked.episodes[-1]
    error = top.answer.error
    shown = sample.history[-recipe.agent.history_length :]
    return Recommendation(
        user_id=found.user_id,
        policy_stage=policy_stage,
        items=_items(found.order, top.task.candidates, store) if error is None else (),
        history=tuple(item_title(store, event.item) for event in shown),
        turns=turns(top.messages),
        num_calls=len(top.calls),
        num_ranked=len(ranked.items),
        num_episodes=len(ranked.episodes),
        timestamp=sample.timestamp,
        candidates=found.source,
        error=None if error is None else error.value,
    )


def _items(ranking: Sequence[int], candidates: Sequence[int], store: SampleStore) -> tuple[RecommendedItem, ...]:
    return tuple(
        RecommendedItem(
            place=place,
            label=label(candidates.index(item)) if item in candidates else "",
            item_id=str(store.items["item_id"][item - 1]),
            title=item_title(store, item),
            category=item_category(store, item),
        )
        for place, item in enumerate(ranking, start=1)
    )


def _verified(layout: Layout, stage: StageName) -> Path:
    verify(layout.artefact(stage))
    return layout.artefact(stage)
