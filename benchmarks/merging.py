"""What is to be gained by merging the tools' orders better: NDCG@10 on `valid`, everything fitted on `policy_train`.

Needs the artefacts of validated_splits and sasrec_embeddings: `python -m benchmarks.merging --recipe embedded` after
`make run`. Sets of one to five orders merged by the scripted expert: with weights fitted for all users alike, and with
equal weights but for the tool that a user's habits speak for; and boosted trees over the same ranks, without the habits
and with them, which stand for any function of them. Shape suffixes: N tasks, K candidates, S sources, F features.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray

from recops.agent.fusion import Fusion, Habits, Source, ask, ask_habits, sources_of
from recops.config.agent import AgentConfig
from recops.config.recipe import load_recipe
from recops.metrics import ndcg_at_k
from recops.paths import Layout, project_root
from recops.records import SliceName, Task
from recops.tools.habits import HABIT_WORDS
from recops.tools.toolbox import Toolbox

_TREES = {
    "objective": "lambdarank",
    "lambdarank_truncation_level": 10,
    "learning_rate": 0.05,
    "num_leaves": 15,
    "min_data_in_leaf": 100,
    "feature_fraction": 0.8,
    "seed": 1,
    "num_threads": 2,
    "deterministic": True,
    "force_row_wise": True,
    "verbosity": -1,
}


@dataclass(frozen=True)
class Answers:
    """What the tools say about N tasks.

    Attributes:
        ranks: by every source, shape (N, S, K).
        targets: where the target stands among the candidates, (N,).
        habits: what the profile says of each user.
    """

    ranks: NDArray[np.int64]
    targets: NDArray[np.int64]
    habits: Sequence[Habits]


def main() -> None:
    """Print one line per number of orders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="embedded")
    parser.add_argument("--root", type=Path, default=project_root(), help="where data/ and models/ lie")
    parser.add_argument("--factors", type=float, nargs="+", default=[2.0, 3.0, 4.0], help="of the trusted tool")
    asked = parser.parse_args()
    layout = Layout(asked.root, asked.recipe)
    recipe = load_recipe(Layout(project_root(), asked.recipe).recipe_file)
    agent = recipe.agent.model_copy(
        update={"tools": tuple(dict.fromkeys((*recipe.agent.tools, "get_user_profile"))), "profile_parts": ("habits",)}
    )
    toolbox = Toolbox.load(
        layout.artefact("validated_splits"), layout.artefact("sasrec_embeddings"), agent, recipe.seed
    )
    sources = sources_of(agent)
    train, valid = (answers(toolbox, name, sources, agent) for name in ("policy_train", "valid"))
    print(
        f"{recipe.name}: fitted on {len(train.targets)} samples of policy_train, measured on {len(valid.targets)} of "
        "valid\n"
    )
    head = ["orders", "fitted", *(f"trusted x {factor:g}" for factor in asked.factors), "trees", "trees with habits"]
    print(f"| {' | '.join(head)} | best set |\n|---|{'---:|' * (len(head) - 1)}---|")
    for count in range(1, len(sources) + 1):
        fusions = [merged(sources, train, valid, count, factor) for factor in (1.0, *asked.factors)]
        chosen = fusions[0][0]
        values = [value for _, value in fusions] + [boosted(train, valid, chosen, told) for told in (False, True)]
        cells = " | ".join(f"{value:.4f}" for value in values)
        print(f"| {count} | {cells} | {', '.join(sources[place].name for place in chosen)} |", flush=True)


def answers(toolbox: Toolbox, name: SliceName, sources: Sequence[Source], agent: AgentConfig) -> Answers:
    """Ask every source, and the profile, about every sample of a slice."""
    ids = toolbox.store.sample_ids(name).tolist()
    toolbox.evidence.prepare(ids)
    tasks = [Task(sample, sample.candidates, "rank") for sample in map(toolbox.store.sample, ids)]
    targets_N = np.asarray([task.candidates.index(task.sample.target) for task in tasks], dtype=np.int64)
    return Answers(ask(toolbox, tasks, sources), targets_N, ask_habits(toolbox, tasks, agent))


def merged(
    sources: Sequence[Source], train: Answers, valid: Answers, count: int, factor: float
) -> tuple[tuple[int, ...], float]:
    """Return the best set of so many sources on `train`, as the expert chooses it, and its NDCG@10 on `valid`."""
    settings = {"rank_constant": 1.0, "trust_factor": factor}
    fusion = Fusion(sources, train.ranks, train.targets, train.habits, **settings)
    chosen = fusion.best(count)
    asked = [sources[place] for place in chosen]
    scores = [
        fusion.scores(dict(zip(asked, ranks_SK[list(chosen)], strict=True)), fusion.trusted(asked, habits))
        for ranks_SK, habits in zip(valid.ranks, valid.habits, strict=True)
    ]
    return chosen, ndcg(np.stack(scores), valid.targets)


def boosted(train: Answers, valid: Answers, chosen: tuple[int, ...], told: bool) -> float:
    """Return NDCG@10 on `valid` of LambdaMART over ranks and, where it is told them, habits."""
    features = [_features(one, chosen, told) for one in (train, valid)]
    labels_NK = np.zeros(features[0].shape[:2], dtype=np.int32)
    labels_NK[np.arange(len(labels_NK)), train.targets] = 1
    flat = [one.reshape(-1, one.shape[2]) for one in features]
    data = lightgbm.Dataset(flat[0], labels_NK.ravel(), group=np.full(len(labels_NK), labels_NK.shape[1]))
    model = lightgbm.train(_TREES, data, num_boost_round=150)
    return ndcg(np.asarray(model.predict(flat[1])).reshape(features[1].shape[:2]), valid.targets)


def _features(one: Answers, chosen: tuple[int, ...], told: bool) -> NDArray[np.float64]:
    """Ranks and habits of every candidate, shape (N, K, F)."""
    ranks_NKS = one.ranks[:, list(chosen)].swapaxes(1, 2).astype(np.float64)
    if not told:
        return ranks_NKS
    words_NH = np.asarray([[HABIT_WORDS.index(word) for word in habits] for habits in one.habits], dtype=np.float64)
    return np.concatenate([ranks_NKS, np.repeat(words_NH[:, None, :], ranks_NKS.shape[1], axis=1)], axis=2)


def ndcg(scores_NK: NDArray[np.float64], targets_N: NDArray[np.int64]) -> float:
    """Return NDCG@10; equal scores share their ranks' mean."""
    target_N1 = scores_NK[np.arange(len(targets_N)), targets_N][:, None]
    ties_N = (scores_NK == target_N1).sum(axis=1) - 1
    return float(ndcg_at_k((scores_NK > target_N1).sum(axis=1) + ties_N // 2, 10).mean())


if __name__ == "__main__":
    main()
