"""A model that nothing here trained: where it answers from, and what a report keeps of it and of its episodes."""

from pathlib import Path

import polars as pl

from recops.artifacts import content_sha256, file_sha256
from recops.config.endpoint import EndpointConfig
from recops.config.evaluation_reports import FrozenModelConfig
from recops.config.variables import expand_variables
from recops.evaluate.episode_table import episodes_to_frame
from recops.evaluate.systems import Comparison

EPISODES = "frozen_episodes.parquet"


def source_of(config: FrozenModelConfig) -> Path | EndpointConfig:
    """Return where the model answers from.

    Raises:
        InputError: a variable of the environment that the folder names is not set.
    """
    if config.kind == "endpoint":
        return config.server
    return Path(expand_variables(config.folder, where="evaluation_reports.frozen_model.folder")).expanduser()


def provenance(config: FrozenModelConfig | None) -> dict[str, str]:
    """Return what tells the model from another one: a hash of its weights, or what its server is asked for.

    Neither is an input that a manifest knows. A server may change what it calls by one name; nobody here can tell.
    """
    if config is None:
        return {}
    source = source_of(config)
    if isinstance(source, EndpointConfig):
        return {"name": config.name, "url": source.url, "model": source.model}
    weights = {file.name: file_sha256(file) for file in sorted(source.glob("*.safetensors"))}
    return {"name": config.name, "weights_sha256": content_sha256(weights)}


def write_episodes(out: Path, comparison: Comparison) -> None:
    """Write the episodes of frozen models below `out`; no file where there is none."""
    frames = [episodes_to_frame(system.name, system.episodes) for system in comparison.baselines if system.is_frozen]
    if frames:
        pl.concat(frames).write_parquet(out / EPISODES)
