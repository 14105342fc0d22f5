"""The trained LLM baselines on frozen samples: each ranks by the probability of the candidates' labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recops.agent.label_ranker import LabelRanker
from recops.artifacts import read_json
from recops.config.agent import AgentConfig
from recops.data.samples import SampleStore
from recops.evaluate.systems import System, cut
from recops.metrics import rank_of
from recops.records import SliceName
from recops.retrieval.sasrec import SasRec, load_sasrec
from recops.stage import StageName

SYSTEMS = "systems.json"


@dataclass(frozen=True)
class LlmBaselines:
    """The artefact of `llm_baselines`: a folder per baseline that the recipe does not switch off."""

    folder: Path
    names: tuple[str, ...]
    sasrec: SasRec
    agent: AgentConfig

    @classmethod
    def load(cls, folder: Path, sasrec: Path, agent: AgentConfig) -> "LlmBaselines":
        """Read which baselines there are."""
        return cls(folder, tuple(read_json(folder / SYSTEMS)["systems"]), load_sasrec(sasrec), agent)

    @property
    def curves(self) -> Mapping[StageName, Path]:
        """Where the trainings' numbers lie, as `read_curves` wants it: nowhere when every baseline is off."""
        return {"llm_baselines": self.folder} if self.names else {}

    def systems(
        self, store: SampleStore, sample_ids: NDArray[np.int32], slice_name: SliceName, *, candidate_kind: str
    ) -> list[System]:
        """Return each baseline's ranks of the targets among candidates of a kind, cut like an agent's list.

        Raises:
            InputError: a folder is no policy, or a projector belongs to other item embeddings.
        """
        samples = [store.sample(int(sample_id), candidate_kind) for sample_id in sample_ids]
        systems = []
        for name in self.names:
            print(f"{name}: {len(samples)} {slice_name} samples", flush=True)
            ranker = LabelRanker.load(self.folder / name, store.items, self.sasrec, self.agent)
            rankings = ranker.rank(samples)
            ranks = [rank_of(sample.target, ranking) for sample, ranking in zip(samples, rankings, strict=True)]
            systems.append(System(name, cut(np.array(ranks, dtype=np.int64), self.agent.num_ranked), ()))
        return systems
