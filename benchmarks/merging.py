"""What is to be gained by asking and merging better: NDCG@10 on `valid`, everything chosen on `policy_train`.

Needs the artefacts of validated_splits and sasrec_embeddings: `python -m benchmarks.merging --recipe embedded` after
`make run`. Plans of one to five orders as the scripted expert chooses them, one for all users and one for each group of
habits, by how often the order that leads counts; and boosted trees over all ranks, without the habits and with them,
which stand for any function of them. `--constant`, `--window-days` and `--tools` try other values than the recipe's.
Shape suffixes: N tasks, K candidates, S sources, F features.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import lightgbm
import numpy as np
from numpy.typing import NDArray

from recops.agent.fusion import Fusion, Habits, Source, ask, ask_habits, sources_of
from recops.config.agent import AgentConfig, MergeConfig
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

    def alike(self) -> "Answers":
        """Return the same of users of whom nothing is known."""
        return replace(self, habits=[() for _ in self.habits])


def main() -> None:
    """Print one line per number of orders."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="embedded")
    parser.add_argument("--root", type=Path, default=project_root(), help="where data/ and models/ lie")
    parser.add_argument("--factors", type=float, nargs="+", default=[1.0, 1.5, 2.0], help="of the order that leads")
    parser.add_argument("--constant", type=float, help="of the reciprocal ranks, instead of the recipe's")
    parser.add_argument("--tools", nargs="+", default=[], help="ordering tools beside the recipe's")
    parser.add_argument("--window-days", type=int, help="of what is popular lately, instead of the recipe's")
    asked = parser.parse_args()
    layout = Layout(asked.root, asked.recipe)
    recipe = load_recipe(Layout(project_root(), asked.recipe).recipe_file)
    agent = recipe.agent.model_copy(
        update={
            "tools": tuple(dict.fromkeys((*recipe.agent.tools, *asked.tools, "get_user_profile"))),
            "profile_parts": ("habits",),
            "popularity_window_days": asked.window_days or recipe.agent.popularity_window_days,
        }
    )
    constant = asked.constant or agent.merge.rank_constant
    toolbox = Toolbox.load(
        layout.artefact("validated_splits"), layout.artefact("sasrec_embeddings"), agent, recipe.seed
    )
    sources = sources_of(agent)
    train, valid = (answers(toolbox, name, sources, agent) for name in ("policy_train", "valid"))
    print(
        f"{recipe.name}: chosen on {len(train.targets)} samples of policy_train, measured on {len(valid.targets)} of "
        "valid\n"
    )
    head = [f"{whom}, x {factor:g}" for factor in asked.factors for whom in ("all users", "by habits")]
    print(f"| orders | {' | '.join(head)} | plan of all users |\n|---|{'---:|' * len(head)}---|")
    for count in range(1, len(sources) + 1):
        fusions = [
            planned(sources, one, MergeConfig(rank_constant=constant, lead_factor=factor))
            for factor in asked.factors
            for one in (train.alike(), train)
        ]
        cells = " | ".join(f"{measured(fusion, valid, count):.4f}" for fusion in fusions)
        names = ", ".join(sources[place].name for place in fusions[0].plan(count, ()))
        print(f"| {count} | {cells} | {names} |", flush=True)
    for told in (False, True):
        print(f"trees over all ranks{' and habits' if told else ''}: {boosted(train, valid, told):.4f}", flush=True)


def answers(toolbox: Toolbox, name: SliceName, sources: Sequence[Source], agent: AgentConfig) -> Answers:
    """Ask every source, and the profile, about every sample of a slice."""
    ids = toolbox.store.sample_ids(name).tolist()
    toolbox.evidence.prepare(ids)
    tasks = [Task(sample, sample.candidates, "rank") for sample in map(toolbox.store.sample, ids)]
    targets_N = np.asarray([task.candidates.index(task.sample.target) for task in tasks], dtype=np.int64)
    return Answers(ask(toolbox, tasks, sources), targets_N, ask_habits(toolbox, tasks, agent))


def planned(sources: Sequence[Source], train: Answers, merge: MergeConfig) -> Fusion:
    return Fusion(sources, train.ranks, train.targets, train.habits, merge)


def measured(fusion: Fusion, valid: Answers, count: int) -> float:
    """Return NDCG@10 on `valid` of the plans of so many sources."""
    scores = [
        fusion.scores([ranks_SK[place] for place in fusion.plan(count, habits)])
        for ranks_SK, habits in zip(valid.ranks, valid.habits, strict=True)
    ]
    return ndcg(np.stack(scores), valid.targets)


def boosted(train: Answers, valid: Answers, told: bool) -> float:
    """Return NDCG@10 on `valid` of LambdaMART over ranks and, where it is told them, habits."""
    features = [_features(one, told) for one in (train, valid)]
    labels_NK = np.zeros(features[0].shape[:2], dtype=np.int32)
    labels_NK[np.arange(len(labels_NK)), train.targets] = 1
    flat = [one.reshape(-1, one.shape[2]) for one in features]
    data = lightgbm.Dataset(flat[0], labels_NK.ravel(), group=np.full(len(labels_NK), labels_NK.shape[1]))
    model = lightgbm.train(_TREES, data, num_boost_round=150)
    return ndcg(np.asarray(model.predict(flat[1])).reshape(features[1].shape[:2]), valid.targets)


def _features(one: Answers, told: bool) -> NDArray[np.float64]:
    """Ranks and habits of every candidate, shape (N, K, F)."""
    ranks_NKS = one.ranks.swapaxes(1, 2).astype(np.float64)
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
