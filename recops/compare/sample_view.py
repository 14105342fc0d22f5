"""What the page needs to show two models sample by sample, packed: ranks of all systems, all episodes, names of items.

Titles and conversations are text of strangers: the page's script writes them as text, never as markup.
"""

import base64
import gzip
import json
from collections.abc import Sequence
from typing import Any

import polars as pl

from recops.compare.evaluation import Evaluation, same_candidates
from recops.evaluate.browser import turns
from recops.evaluate.wording import system_name


def packed_view(evaluations: Sequence[Evaluation]) -> str:
    """Return the view of all runs that ranked the first one's candidates, as JSON, gzipped, in base64.

    Equal runs give equal text. A model is a system of a run; an episode is its turns and its ranking, or
    why it has none.
    """
    content = json.dumps(_view(evaluations), ensure_ascii=False, separators=(",", ":"))
    return base64.b64encode(gzip.compress(content.encode(), compresslevel=9, mtime=0)).decode()


def _view(evaluations: Sequence[Evaluation]) -> dict[str, Any]:
    comparable = [one for one in evaluations if same_candidates(evaluations[0], one)]
    facts = pl.concat([one.facts for one in comparable]).unique("sample_id", maintain_order=True).sort("sample_id")
    candidates = pl.concat([one.episodes.select("sample_id", "candidates") for one in comparable])
    facts = facts.join(candidates.unique("sample_id"), on="sample_id", maintain_order="left")
    items = pl.concat([one.items for one in comparable]).unique("item", maintain_order=True).sort("item")
    return {
        "samples": facts.drop("user").to_dicts(),
        "items": {str(item): [title, category] for item, _, title, category in items.iter_rows()},
        "models": [model for one in comparable for model in _models(one, facts["sample_id"].to_list())],
    }


def _models(evaluation: Evaluation, sample_ids: Sequence[int]) -> list[dict[str, Any]]:
    """Return every system with its rank per sample, null where the run did not measure it, and an agent's episodes."""
    order = evaluation.facts["sample_id"].to_list()
    places = {sample_id: place for place, sample_id in enumerate(order)}
    last_first = [*reversed(evaluation.agents), *(name for name in evaluation.ranks if name not in evaluation.agents)]
    models = []
    for system in last_first:
        ranks = evaluation.ranks[system].tolist()
        models.append(
            {
                "run": evaluation.label,
                "system": system_name(system),
                "ranks": [ranks[places[one]] if one in places else None for one in sample_ids],
                "episodes": _episodes(evaluation, system) if system in evaluation.agents else None,
            }
        )
    return models


def _episodes(evaluation: Evaluation, system: str) -> dict[str, Any]:
    """Return by sample what was said, and the ranking; an invalid answer has its reason in its place."""
    played = evaluation.episodes.filter(pl.col("system") == system)
    rows = played.select("sample_id", "messages", "ranking", "error").iter_rows()
    return {
        str(sample_id): {
            "turns": [[turn.kind, turn.text] for turn in turns(json.loads(messages))],
            "ranking": ranking,
            "error": error and error.replace("_", " "),
        }
        for sample_id, messages, ranking, error in rows
    }
