"""Systems that score items one by one: each gives many samples a score for every item of the catalogue.

What is fitted here (item-kNN, ALS) is fitted on `tool_fit` only; counts run up to strictly before a sample's time.
Shape suffixes: C samples, J = I + 1 columns for all items with padding (column i is item i; column 0 means nothing).
"""

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from pathlib import Path

import numpy as np
from scipy.sparse import csr_matrix

from recops.config.agent import AgentConfig
from recops.config.baselines import BaselinesConfig, ItemKnnConfig
from recops.config.variables import expand_variables
from recops.data.samples import SampleStore
from recops.records import Sample
from recops.retrieval.counts import CatalogueCounts
from recops.retrieval.evidence import MILLISECONDS_PER_DAY, Evidence, Scores
from recops.retrieval.factors import ItemFactors
from recops.retrieval.fit_data import FitRows, read_fit_rows
from recops.retrieval.histories import history_weights
from recops.retrieval.neighbours import ItemNeighbours
from recops.retrieval.sentences import SentenceIndex
from recops.retrieval.text import RECENCY_DECAY
from recops.seeds import sub_seed

Scorer = Callable[[Sequence[Sample]], Scores]
"""Samples -> scores (C, J), higher is better, NaN where the system cannot say."""


def scorers(
    names: Sequence[str],
    evidence: Evidence,
    splits: Path,
    config: BaselinesConfig,
    *,
    agent: AgentConfig,
    seed: int,
) -> dict[str, Scorer]:
    """Return the scorers of some single systems, in that order; those that are fitted are fitted now.

    Raises:
        InputError: `tool_fit` has nothing to fit on, or the folder of the sentence model holds none.
    """
    store = evidence.store
    makers: Mapping[str, Callable[[], Scorer]] = {
        "random": lambda: lambda samples: np.zeros((len(samples), store.num_items + 1)),
        "popularity": lambda: _popularity(store, None),
        "recent_popularity": lambda: _popularity(store, agent.popularity_window_days),
        "text_similarity": lambda: evidence.text_similarity_of_all,
        "similar_users": lambda: lambda samples: _similar_users(evidence, samples),
        "taken_together": lambda: lambda samples: _taken_together(evidence, samples),
        "sasrec": lambda: evidence.next_item_of_all,
        "item_knn": lambda: _item_knn(read_fit_rows(splits), config.item_knn),
        "als": lambda: _als(read_fit_rows(splits), config, sub_seed(seed, "als")),
        "sentence_similarity": lambda: _sentence_similarity(store, config, agent),
        **{name: partial(_popularity, store, days) for name, days in config.windows.items()},
    }
    return {name: makers[name]() for name in names}


def sentence_model_folder(config: BaselinesConfig) -> Path | None:
    """Return the folder of the recipe's sentence model, None without one."""
    if config.sentence_model is None:
        return None
    where = "baselines.sentence_model.folder"
    return Path(expand_variables(config.sentence_model.folder, where=where)).expanduser()


def _popularity(store: SampleStore, window_days: int | None) -> Scorer:
    counts = CatalogueCounts(store.item, store.timestamp, store.num_items, weights_E=store.weight)

    def scores(samples: Sequence[Sample]) -> Scores:
        times_C = np.asarray([sample.timestamp for sample in samples], dtype=np.int64)
        if window_days is None:
            return counts.before(times_C)
        return counts.within(times_C - window_days * MILLISECONDS_PER_DAY, times_C)

    return scores


def _similar_users(evidence: Evidence, samples: Sequence[Sample]) -> Scores:
    """Similar users who took none of an item say nothing about it."""
    everything = range(evidence.store.num_items + 1)
    taken_CJ = np.stack([evidence.similar_users(sample, everything) for sample in samples])
    return np.where(taken_CJ > 0, taken_CJ, np.nan)


def _taken_together(evidence: Evidence, samples: Sequence[Sample]) -> Scores:
    everything = range(evidence.store.num_items + 1)
    return np.stack([evidence.taken_together(sample, everything) for sample in samples])


def _item_knn(rows: FitRows, config: ItemKnnConfig) -> Scorer:
    neighbours = ItemNeighbours.fit(rows, num_neighbours=config.num_neighbours, shrinkage=config.shrinkage)
    weights = partial(
        history_weights, num_items=rows.num_items, length=config.history_length, decay=config.recency_decay
    )
    return lambda samples: neighbours.scores(weights(samples))


def _als(rows: FitRows, config: BaselinesConfig, seed: int) -> Scorer:
    factors = ItemFactors(rows, seed=seed, **config.als.model_dump())
    return lambda samples: factors.scores(_whole_histories(samples, rows.num_items))


def _whole_histories(samples: Sequence[Sample], num_items: int) -> csr_matrix:
    longest = max(len(sample.history) for sample in samples)
    return history_weights(samples, num_items, length=longest, decay=1.0)


def _sentence_similarity(store: SampleStore, config: BaselinesConfig, agent: AgentConfig) -> Scorer:
    folder, model = sentence_model_folder(config), config.sentence_model
    assert folder is not None, "the recipe's checks let no sentence_similarity pass without a model"
    assert model is not None
    index = SentenceIndex.encode(store.items, folder, batch_size=model.batch_size, max_tokens=model.max_tokens)
    weights = partial(history_weights, num_items=store.num_items, length=agent.history_length, decay=RECENCY_DECAY)
    return lambda samples: index.scores(weights(samples))
