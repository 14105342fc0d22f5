"""What is lost between what a policy asks and what it answers: NDCG@10 on `valid`, greedy.

Each policy plays the same samples twice: free, and with answers that can only become valid lists. Beside them is what
the rule of the scripted expert (`agent.merge`) makes of the very calls of its free episodes: the first two columns
differ by invalid answers, the last two by merging. Needs validated_splits and sasrec_embeddings of the recipe, or
other folders of theirs: `python -m benchmarks.policy_merging --recipe embedded models/embedded/sft_checkpoint` after
`make run`; `recops try` says where its policies lie. Shape suffixes: N samples, K candidates.
"""

import argparse
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from benchmarks.merging import ndcg
from recops.agent.fusion import ORDERING_TOOLS, merged, read_order, reciprocal_ranks
from recops.agent.rewards import CUTOFF
from recops.config.agent import MergeConfig
from recops.config.recipe import load_recipe
from recops.evaluate.agent import chosen_samples, player_of, ranking_tasks
from recops.metrics import ndcg_at_k, rank_of
from recops.paths import Layout, project_root
from recops.records import Episode
from recops.retrieval.evidence import Evidence


def main() -> None:
    """Print one line per policy."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("policies", type=Path, nargs="+", help="folders of policies")
    parser.add_argument("--recipe", default="embedded")
    parser.add_argument("--splits", type=Path, help="folder of validated_splits, instead of the recipe's")
    parser.add_argument("--sasrec", type=Path, help="folder of sasrec_embeddings, instead of the recipe's")
    parser.add_argument("--samples", type=int, default=1000)
    asked = parser.parse_args()
    layout = Layout(project_root(), asked.recipe)
    recipe = load_recipe(layout.recipe_file)
    splits = asked.splits or layout.artefact("validated_splits")
    sasrec = asked.sasrec or layout.artefact("sasrec_embeddings")
    evidence = Evidence.load(splits, sasrec, recipe.agent, recipe.seed)
    ids_N = chosen_samples(evidence.store, "valid", asked.samples, recipe.seed)
    tasks = ranking_tasks(evidence.store, ids_N)
    print(f"{len(tasks)} samples of valid\n\n| policy | NDCG@10 | invalid | constrained | its calls by the rule |")
    print("|---|---:|---:|---:|---:|")
    for policy in asked.policies:
        free, constrained = (
            player_of(
                policy,
                evidence,
                recipe.agent,
                seed=recipe.seed,
                batch_size=recipe.evaluation_reports.batch_size,
                constrain_answers=constrain,
            )(tasks)
            for constrain in (False, True)
        )
        cells = (reached(free), invalid(free), reached(constrained), by_rule(free, recipe.agent.merge))
        print(f"| {policy} | {' | '.join(f'{cell:.4f}' for cell in cells)} |", flush=True)


def reached(episodes: Sequence[Episode]) -> float:
    """Return NDCG@10, where an invalid answer counts as an absent target."""
    ranks = [rank_of(one.task.sample.target, one.answer.ranking) for one in episodes]
    return float(ndcg_at_k(ranks, CUTOFF).mean())


def invalid(episodes: Sequence[Episode]) -> float:
    """Return the share of episodes without a valid answer."""
    return sum(not one.answer.ranking for one in episodes) / len(episodes)


def by_rule(episodes: Sequence[Episode], merge: MergeConfig) -> float:
    """Return NDCG@10 of the orders that episodes asked for, put together by the rule; none of them are all ties."""
    targets = [one.task.candidates.index(one.task.sample.target) for one in episodes]
    return ndcg(np.stack([_scores(one, merge) for one in episodes]), np.asarray(targets))


def _scores(episode: Episode, merge: MergeConfig) -> NDArray[np.float64]:
    """Shape (K,)."""
    count = len(episode.task.candidates)
    orders = [
        reciprocal_ranks(read_order(call.answer, count), merge.rank_constant)
        for call in episode.calls
        if call.tool in ORDERING_TOOLS and not call.failed
    ]
    return merged(orders, merge) if orders else np.zeros(count)


if __name__ == "__main__":
    main()
