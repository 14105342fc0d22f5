"""Behaviour vectors (LLaRA): SASRec's item embeddings, projected to where a language model expects token vectors.

Shape suffixes: I items (with padding: I+1), D width of SASRec, W width of the language model, N places.
"""

import hashlib
from pathlib import Path
from typing import Any

import torch
from safetensors import safe_open
from safetensors.torch import save_file
from torch import Tensor, nn
from torch.nn.functional import gelu

from recops.errors import InputError
from recops.retrieval.sasrec import SasRec

FILE = "projector.safetensors"
_DIGEST = "item_embeddings_sha256"


class BehaviourProjector(nn.Module):
    """Item -> vector of the language model's width: an MLP over its SASRec embedding.

    Items that SASRec has never seen share one learned vector. The first output is as large as a mean token vector is
    (`token_rms`), so that a pretrained model is not startled by what it reads.
    """

    embeddings: Tensor
    known: Tensor

    def __init__(self, sasrec: SasRec, *, hidden_width: int, width: int, token_rms: float) -> None:
        super().__init__()
        known = sasrec.known_items.clone()
        embeddings_ID = sasrec.item_embedding.weight.detach().float()
        self.digest = hashlib.sha256(embeddings_ID[known].contiguous().numpy().tobytes()).hexdigest()
        seen = embeddings_ID[known]
        scaled = (embeddings_ID - seen.mean(dim=0)) / seen.std(dim=0, correction=0).clamp_min(1e-6)
        self.register_buffer("embeddings", scaled * known[:, None], persistent=False)
        self.register_buffer("known", known, persistent=False)
        self.expand = nn.Linear(embeddings_ID.shape[1], hidden_width)
        self.contract = nn.Linear(hidden_width, width)
        self.unknown = nn.Parameter(torch.randn(width) * token_rms)
        self._scale_to(token_rms)

    def forward(self, items_N: Tensor) -> Tensor:
        """Return one vector per item, (N, W)."""
        vectors_NW: Tensor = self.contract(gelu(self.expand(self.embeddings[items_N])))
        return torch.where(self.known[items_N][:, None], vectors_NW, self.unknown)

    @torch.no_grad()
    def _scale_to(self, token_rms: float) -> None:
        vectors_IW = self(torch.nonzero(self.known)[:, 0])
        factor = token_rms / vectors_IW.square().mean().sqrt()
        self.contract.weight.mul_(factor)
        self.contract.bias.mul_(factor)

    def save(self, folder: Path) -> None:
        """Write `projector.safetensors`, which names the item embeddings that it belongs to."""
        tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in self.state_dict().items()}
        save_file(tensors, folder / FILE, metadata={_DIGEST: self.digest})

    @classmethod
    def load(cls, folder: Path, sasrec: SasRec) -> "BehaviourProjector":
        """Read a projector.

        Raises:
            InputError: it was trained with other item embeddings than those of `sasrec`.
        """
        with safe_open(folder / FILE, framework="pt") as file:
            tensors: dict[str, Any] = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118
            digest = (file.metadata() or {}).get(_DIGEST)
        hidden_width, width = tensors["expand.bias"].shape[0], tensors["contract.bias"].shape[0]
        embedding_width = sasrec.item_embedding.weight.shape[1]
        projector = None
        if tensors["expand.weight"].shape[1] == embedding_width:
            projector = cls(sasrec, hidden_width=hidden_width, width=width, token_rms=1.0)
        if projector is None or projector.digest != digest:
            raise InputError(
                folder / FILE,
                found="a projector of other item embeddings",
                expected="the item embeddings that it was trained with",
                next_step="Run the stage llm_baselines again.",
            )
        projector.load_state_dict(tensors)
        return projector
