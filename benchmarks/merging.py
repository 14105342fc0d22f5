"""What is to be gained by merging the tools' orders better: NDCG@10 on `valid`, everything fitted on `policy_train`.

Needs the artefacts of validated_splits and sasrec_embeddings: `python -m benchmarks.merging --recipe embedded` after
`make run`. Sets of one to five orders merged by the scripted expert's fusion; the same with weights that depend on what
the history repeats; and boosted trees over the same ranks, which stand for any function of them. Shape suffixes:
N tasks, K candidates, S sources, H habits, F features.
"""

import argparse
from collections.abc import Sequence
from dataclasses import dataclass

import lightgbm
import numpy as np
from numpy.typing import NDArray

from recops.agent.fusion import Fusion, Source, ask, habits, sources_of
from recops.config.agent import AgentConfig, ItemField
from recops.config.recipe import load_recipe
from recops.metrics import ndcg_at_k
from recops.paths import Layout, project_root
from recops.records import SliceName, Task
from recops.tools.toolbox import Toolbox

SHOWN: tuple[tuple[ItemField, ...], ...] = ((), ("category",), ("category", "store"))
"""What the prompt's history may show of an item."""

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
    """What every source says about N tasks, shape (N, S, K), and where the target stands among the candidates, (N,)."""

    tasks: Sequence[Task]
    ranks: NDArray[np.int64]
    targets: NDArray[np.int64]

    def habits(self, toolbox: Toolbox, agent: AgentConfig) -> NDArray[np.float64]:
        """Return what the history shows, shape (N, H)."""
        return np.stack([habits(task, toolbox, agent) for task in self.tasks])


def main() -> None:
    """Print one line per way to merge."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--recipe", default="embedded")
    layout = Layout(project_root(), parser.parse_args().recipe)
    recipe = load_recipe(layout.recipe_file)
    folders = layout.artefact("validated_splits"), layout.artefact("sasrec_embeddings")
    toolbox = Toolbox.load(*folders, recipe.agent, recipe.seed)
    sources = sources_of(recipe.agent)
    train, valid = (answers(toolbox, name, sources) for name in ("policy_train", "valid"))
    print(
        f"{recipe.name}: fitted on {len(train.tasks)} samples of policy_train, measured on {len(valid.tasks)} of valid"
    )
    for count in range(1, len(sources) + 1):
        for shown in SHOWN:
            agent = recipe.agent.model_copy(update={"history_fields": shown})
            told = " ".join(shown) or "nothing"
            chosen, value = best_linear(toolbox, agent, sources, train, valid, count)
            names = ", ".join(sources[place].name for place in chosen)
            trees = boosted(toolbox, agent, train, valid, chosen)
            print(f"{count} orders, history shows {told:15} fusion {value:.4f}  trees {trees:.4f}  {names}", flush=True)


def answers(toolbox: Toolbox, name: SliceName, sources: Sequence[Source]) -> Answers:
    """Ask every source about every sample of a slice."""
    ids = toolbox.store.sample_ids(name).tolist()
    toolbox.evidence.prepare(ids)
    tasks = [Task(sample, sample.candidates, "rank") for sample in map(toolbox.store.sample, ids)]
    targets_N = np.asarray([task.candidates.index(task.sample.target) for task in tasks], dtype=np.int64)
    return Answers(tasks, ask(toolbox, tasks, sources), targets_N)


def best_linear(
    toolbox: Toolbox, agent: AgentConfig, sources: Sequence[Source], train: Answers, valid: Answers, count: int
) -> tuple[tuple[int, ...], float]:
    """Return the best set of so many sources on `train`, as the expert chooses it, and its NDCG@10 on `valid`."""
    fusion = Fusion(
        sources,
        train.ranks,
        train.targets,
        train.habits(toolbox, agent),
        habit_names=agent.history_fields,
        rank_constant=1.0,
    )
    chosen = fusion.best(count)
    habits_NH = valid.habits(toolbox, agent)
    scores = [
        fusion.scores({sources[place]: ranks_SK[place] for place in chosen}, habits_H)
        for ranks_SK, habits_H in zip(valid.ranks, habits_NH, strict=True)
    ]
    return chosen, ndcg(np.stack(scores), valid.targets)


def boosted(toolbox: Toolbox, agent: AgentConfig, train: Answers, valid: Answers, chosen: tuple[int, ...]) -> float:
    """Return NDCG@10 on `valid` of LambdaMART over ranks and habits."""
    features = [
        np.concatenate([one.ranks[:, list(chosen)].swapaxes(1, 2), _repeated(one, toolbox, agent)], axis=2)
        for one in (train, valid)
    ]
    labels_NK = np.zeros(features[0].shape[:2], dtype=np.int32)
    labels_NK[np.arange(len(labels_NK)), train.targets] = 1
    flat = [one.reshape(-1, one.shape[2]) for one in features]
    data = lightgbm.Dataset(flat[0], labels_NK.ravel(), group=np.full(len(labels_NK), labels_NK.shape[1]))
    model = lightgbm.train(_TREES, data, num_boost_round=150)
    return ndcg(np.asarray(model.predict(flat[1])).reshape(features[1].shape[:2]), valid.targets)


def ndcg(scores_NK: NDArray[np.float64], targets_N: NDArray[np.int64]) -> float:
    """Return NDCG@10; equal scores share their ranks' mean."""
    target_N1 = scores_NK[np.arange(len(targets_N)), targets_N][:, None]
    ties_N = (scores_NK == target_N1).sum(axis=1) - 1
    return float(ndcg_at_k((scores_NK > target_N1).sum(axis=1) + ties_N // 2, 10).mean())


def _repeated(one: Answers, toolbox: Toolbox, agent: AgentConfig) -> NDArray[np.float64]:
    """Habits as features of every candidate, shape (N, K, H)."""
    habits_NH = one.habits(toolbox, agent)
    return np.repeat(habits_NH[:, None, :], one.ranks.shape[2], axis=1)


if __name__ == "__main__":
    main()
