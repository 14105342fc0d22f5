"""What the agent recommends to one user at the user's newest moment, with its reasons.

The candidates are closed, as everywhere: those that are named, else the frozen ones of the user's newest test sample,
or, for a user without one, items drawn as the negatives are, at the newest time of the data. Or they come from the
whole catalogue: `retrieve` finds fifty, and the agent ranks them in windows. Where the question says more than the
history (a request, an item to complete) both orders are merged, for retrieval knows what was asked. Nothing is measured
here; `use_scores` does that.
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
from recops.evaluate.moments import NEW_SAMPLE_ID, item_of, moment_of_item, newest_moment, present_moment
from recops.evaluate.retrieve import merged, retrieve, retrieve_complements
from recops.evaluate.windows import Play, Ranked, rank_in_windows
from recops.paths import Layout
from recops.records import Call, Sample, label
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
        candidates: item ids to rank, at least two; none for those of the sample.
        now: after everything that the user took, not at the newest test sample, whose target the data knows. Named
            candidates are always ranked so.
    """

    user_id: str | None
    request: str = ""
    catalogue: bool = False
    complete: str | None = None
    candidates: tuple[str, ...] = ()
    now: bool = False


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
        calls: the tool calls made in it.
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
    calls: tuple[Call, ...]
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
NAMED = "named candidates"


def recommend(layout: Layout, recipe: Recipe, asked: Asked, policy_stage: StageName) -> Recommendation:
    """Return what the policy of `policy_stage` recommends, greedily: the same every time.

    Raises:
        InputError: as `answer`, or the stage trains no policy, or an artefact is missing or damaged.
    """
    return answer(open_scene(layout, recipe, policy_stage), asked)


def answer(scene: "Scene", asked: Asked) -> Recommendation:
    """Return what the policy of a scene recommends, greedily: the same every time.

    Raises:
        InputError: the user is unknown or has no history, an item is not in the catalogue, there is only one candidate,
            or neither a user nor an item to complete is given.
    """
    sample, listed, source = _question(scene, asked)
    [ranked] = scene.rank([sample], [listed], [asked.request])
    says_more = source == RETRIEVED and bool(asked.request or asked.complete)
    order = merged([ranked.items, listed]) if says_more else list(ranked.episodes[-1].answer.ranking)
    found = _Found(asked.user_id or "", sample, source, ranked, order[: scene.recipe.agent.num_ranked])
    return _recommendation(found, scene)


def _question(scene: "Scene", asked: Asked) -> tuple[Sample, list[int], str]:
    """Return the moment that is asked about, what is to be ranked, and where that comes from."""
    store, recipe = scene.evidence.store, scene.recipe
    sample = _moment(scene, asked)
    if asked.complete is not None:
        item = item_of(store, asked.complete)
        sample = moment_of_item(store, item, sample)
        return sample, retrieve_complements(scene.evidence, item, sample), RETRIEVED
    if sample is None:
        step = "Give --user, or an item with --complete."
        raise InputError("user", found="nobody", expected="a user, or an item to complete", next_step=step)
    if asked.candidates:
        return sample, _named(store, asked.candidates), NAMED
    if asked.catalogue:
        return sample, retrieve(scene.evidence, sample, recipe.agent, asked.request), RETRIEVED
    return sample, list(sample.candidates), FROZEN if sample.sample_id != NEW_SAMPLE_ID else DRAWN


def _moment(scene: "Scene", asked: Asked) -> Sample | None:
    if asked.user_id is None:
        return None
    if asked.now or asked.candidates:
        return present_moment(scene.evidence.store, asked.user_id)
    return newest_moment(scene.evidence.store, asked.user_id, scene.recipe)


def _named(store: SampleStore, item_ids: Sequence[str]) -> list[int]:
    """Return the indices of candidates that are named, in their order."""
    step = "Name each item once, and two of them or more."
    if len(item_ids) < 2:
        found = f"only {item_ids[0]!r}"
        raise InputError("candidates", found=found, expected="two or more items to choose from", next_step=step)
    repeated = sorted({item_id for item_id in item_ids if item_ids.count(item_id) > 1})
    if repeated:
        raise InputError("candidates", found=f"{repeated[0]!r} twice", expected="different items", next_step=step)
    return [item_of(store, item_id) for item_id in item_ids]


@dataclass(frozen=True)
class Scene:
    """What recommending needs, opened once: the evidence and a policy that plays."""

    evidence: Evidence
    play: Play
    recipe: Recipe
    policy_stage: StageName

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
    return Scene(evidence, play, recipe, policy_stage)


@dataclass(frozen=True)
class _Found:
    """What a recommendation is told from: for whom, when, the agent's windows and the list."""

    user_id: str
    sample: Sample
    source: str
    ranked: Ranked
    order: list[int]


def _recommendation(found: _Found, scene: Scene) -> Recommendation:
    ranked, sample, top, store = found.ranked, found.sample, found.ranked.episodes[-1], scene.evidence.store
    error = top.answer.error
    shown = sample.history[-scene.recipe.agent.history_length :]
    return Recommendation(
        user_id=found.user_id,
        policy_stage=scene.policy_stage,
        items=_items(found.order, top.task.candidates, store) if error is None else (),
        history=tuple(item_title(store, event.item) for event in shown),
        turns=turns(top.messages),
        calls=top.calls,
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
